#include "datasets/zip_file.h"

#include <fmt/format.h>
#include <zip.h>
#include <zstd.h>

#include "harness/base/text.h"

namespace assay {
namespace {

constexpr uint16_t kZstd = 93;

Result<std::string> unpack_zstd(const std::string& packed, uint64_t size, const std::string& what) {
  std::string text(size, '\0');
  const size_t got = ZSTD_decompress(text.data(), text.size(), packed.data(), packed.size());
  if (ZSTD_isError(got) || got != size) return Error{what + ": is damaged"};
  return text;
}

}  // namespace

struct ZipFile::Archive {
  std::string path;
  zip_t* zip = nullptr;
  std::vector<std::string> names;
  ~Archive() {
    if (zip != nullptr) zip_discard(zip);
  }
};

ZipFile::ZipFile(std::unique_ptr<Archive> archive) : archive_(std::move(archive)) {}
ZipFile::ZipFile(ZipFile&&) noexcept = default;
ZipFile& ZipFile::operator=(ZipFile&&) noexcept = default;
ZipFile::~ZipFile() = default;

Result<ZipFile> ZipFile::open(const std::string& path) {
  auto archive = std::make_unique<Archive>();
  archive->path = path;
  int code = 0;
  archive->zip = zip_open(path.c_str(), ZIP_RDONLY, &code);
  if (archive->zip == nullptr) {
    zip_error_t error;
    zip_error_init_with_code(&error, code);
    const std::string why = zip_error_strerror(&error);
    zip_error_fini(&error);
    return Error{fmt::format("{}: cannot be read as a zip archive: {}", path, why)};
  }
  const zip_int64_t count = zip_get_num_entries(archive->zip, 0);
  for (zip_int64_t i = 0; i < count; ++i) {
    const char* name = zip_get_name(archive->zip, static_cast<zip_uint64_t>(i), 0);
    archive->names.emplace_back(name == nullptr ? "" : name);
  }
  return ZipFile(std::move(archive));
}

const std::vector<std::string>& ZipFile::names() const { return archive_->names; }

Result<std::string> ZipFile::read(const std::string& name, const std::string& password,
                                  uint64_t most_bytes) const {
  const std::string what = archive_->path + ": " + quote_for_message(name);
  zip_stat_t info;
  zip_stat_init(&info);
  if (zip_stat(archive_->zip, name.c_str(), 0, &info) != 0) return Error{what + ": is not in it"};
  if (info.size > most_bytes || info.comp_size > most_bytes) {
    return Error{fmt::format("{}: has {} bytes, {} are the most", what, info.size, most_bytes)};
  }
  const bool zstd = info.comp_method == kZstd;
  const uint64_t size = zstd ? info.comp_size : info.size;
  zip_file_t* file = password.empty()
                         ? zip_fopen(archive_->zip, name.c_str(), zstd ? ZIP_FL_COMPRESSED : 0)
                         : zip_fopen_encrypted(archive_->zip, name.c_str(), 0, password.c_str());
  if (file == nullptr) {
    return Error{fmt::format("{}: cannot be opened: {}", what, zip_strerror(archive_->zip))};
  }
  std::string text(size, '\0');
  uint64_t at = 0;
  while (at < size) {
    const zip_int64_t got = zip_fread(file, text.data() + at, size - at);
    if (got <= 0) break;
    at += static_cast<uint64_t>(got);
  }
  zip_fclose(file);
  if (at != size) return Error{what + ": is damaged, or the password is wrong"};
  return zstd ? unpack_zstd(text, info.size, what) : Result<std::string>(std::move(text));
}

}  // namespace assay
