#include "results/compress.h"

#include <zstd.h>

#include <cstring>

#include "harness/base/check.h"

namespace assay {
namespace {

constexpr int kLevel = 3;
constexpr uint64_t kMaxBytes = uint64_t{1} << 30;

}  // namespace

std::string zstd_compress(std::string_view bytes) {
  struct Context {
    ZSTD_CCtx* context = ZSTD_createCCtx();
    ~Context() { ZSTD_freeCCtx(context); }
  };
  thread_local Context reused;
  std::string out(ZSTD_compressBound(bytes.size()), '\0');
  const size_t size_bytes =
      ZSTD_compressCCtx(reused.context, out.data(), out.size(), bytes.data(), bytes.size(), kLevel);
  CHECK(ZSTD_isError(size_bytes) == 0);
  out.resize(size_bytes);
  return out;
}

Result<std::string> zstd_decompress(std::string_view bytes, const std::string& place) {
  const auto stated = ZSTD_getFrameContentSize(bytes.data(), bytes.size());
  const Error damaged{place + ": a stored text is damaged; restore the run from a copy"};
  if (stated == ZSTD_CONTENTSIZE_ERROR || stated == ZSTD_CONTENTSIZE_UNKNOWN ||
      stated > kMaxBytes) {
    return damaged;
  }
  std::string out(stated, '\0');
  const size_t written = ZSTD_decompress(out.data(), out.size(), bytes.data(), bytes.size());
  if (ZSTD_isError(written) != 0 || written != stated) return damaged;
  return out;
}

std::string compress_token_ids(const std::vector<int32_t>& ids) {
  return zstd_compress({reinterpret_cast<const char*>(ids.data()), ids.size() * sizeof(int32_t)});
}

Result<std::vector<int32_t>> decompress_token_ids(std::string_view bytes,
                                                  const std::string& place) {
  ASSAY_TRY(const std::string raw, zstd_decompress(bytes, place));
  std::vector<int32_t> ids(raw.size() / sizeof(int32_t));
  if (!ids.empty()) std::memcpy(ids.data(), raw.data(), ids.size() * sizeof(int32_t));
  return ids;
}

}  // namespace assay
