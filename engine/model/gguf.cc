#include "engine/model/gguf.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <bit>
#include <cstring>
#include <tuple>

#include "harness/base/text.h"

namespace assay {
namespace {

static_assert(std::endian::native == std::endian::little, "GGUF files are read as little-endian");

enum Type : uint32_t {
  kU8,
  kI8,
  kU16,
  kI16,
  kU32,
  kI32,
  kF32,
  kBool,
  kString,
  kArray,
  kU64,
  kI64,
  kF64
};

constexpr uint64_t kMaxEntries = 1'000'000;

size_t scalar_bytes(uint32_t type) {
  switch (type) {
    case kU8:
    case kI8:
    case kBool:
      return 1;
    case kU16:
    case kI16:
      return 2;
    case kU32:
    case kI32:
    case kF32:
      return 4;
    case kU64:
    case kI64:
    case kF64:
      return 8;
    default:
      return 0;
  }
}

const char* type_name(uint32_t code) {
  constexpr const char* kNames[] = {
      "F32",     "F16",    "Q4_0",    "Q4_1",  nullptr,  nullptr, "Q5_0",  "Q5_1",
      "Q8_0",    "Q8_1",   "Q2_K",    "Q3_K",  "Q4_K",   "Q5_K",  "Q6_K",  "Q8_K",
      "IQ2_XXS", "IQ2_XS", "IQ3_XXS", "IQ1_S", "IQ4_NL", "IQ3_S", "IQ2_S", "IQ4_XS",
      "I8",      "I16",    "I32",     "I64",   "F64",    "IQ1_M", "BF16"};
  if (code < std::size(kNames) && kNames[code] != nullptr) return kNames[code];
  return "unknown";
}

template <typename T>
T load(std::string_view bytes) {
  T value;
  std::memcpy(&value, bytes.data(), sizeof(T));
  return value;
}

// Reads forward through the file; the first read beyond its end makes it fail for good.
class Cursor {
 public:
  explicit Cursor(std::string_view bytes) : bytes_(bytes) {}

  template <typename T>
  T get() {
    const std::string_view at = take(sizeof(T));
    return failed_ ? T{} : load<T>(at);
  }

  std::string_view text() { return take(get<uint64_t>()); }

  std::string_view take(uint64_t count) {
    if (failed_ || count > bytes_.size() - at_) {
      failed_ = true;
      return {};
    }
    const std::string_view part = bytes_.substr(at_, count);
    at_ += count;
    return part;
  }

  bool failed() const { return failed_; }
  uint64_t at() const { return at_; }

 private:
  std::string_view bytes_;
  uint64_t at_ = 0;
  bool failed_ = false;
};

bool skip_array(Cursor& cursor, uint32_t type, uint64_t count) {
  if (type == kString) {
    for (uint64_t i = 0; i < count && !cursor.failed(); ++i) cursor.text();
    return !cursor.failed();
  }
  const size_t size = scalar_bytes(type);
  if (size == 0 || count > UINT64_MAX / size) return false;
  cursor.take(count * size);
  return !cursor.failed();
}

std::optional<GgufValue> read_value(Cursor& cursor, std::string_view file) {
  const auto type = cursor.get<uint32_t>();
  switch (type) {
    case kU8:
      return GgufValue(uint64_t{cursor.get<uint8_t>()});
    case kI8:
      return GgufValue(int64_t{cursor.get<int8_t>()});
    case kU16:
      return GgufValue(uint64_t{cursor.get<uint16_t>()});
    case kI16:
      return GgufValue(int64_t{cursor.get<int16_t>()});
    case kU32:
      return GgufValue(uint64_t{cursor.get<uint32_t>()});
    case kI32:
      return GgufValue(int64_t{cursor.get<int32_t>()});
    case kU64:
      return GgufValue(cursor.get<uint64_t>());
    case kI64:
      return GgufValue(cursor.get<int64_t>());
    case kF32:
      return GgufValue(double{cursor.get<float>()});
    case kF64:
      return GgufValue(cursor.get<double>());
    case kBool:
      return GgufValue(cursor.get<uint8_t>() != 0);
    case kString:
      return GgufValue(cursor.text());
    case kArray:
      break;
    default:
      return std::nullopt;
  }
  GgufArray array;
  array.type = cursor.get<uint32_t>();
  array.count = cursor.get<uint64_t>();
  const uint64_t start = cursor.at();
  if (cursor.failed() || !skip_array(cursor, array.type, array.count)) return std::nullopt;
  array.bytes = file.substr(start, cursor.at() - start);
  return GgufValue(array);
}

}  // namespace

std::vector<std::string_view> GgufArray::strings() const {
  std::vector<std::string_view> out;
  if (type != kString) return out;
  Cursor cursor(bytes);
  out.reserve(count);
  for (uint64_t i = 0; i < count; ++i) out.push_back(cursor.text());
  return out;
}

std::vector<int32_t> GgufArray::integers() const {
  std::vector<int32_t> out;
  if (type != kI32 && type != kU32) return out;
  Cursor cursor(bytes);
  out.reserve(count);
  for (uint64_t i = 0; i < count; ++i) out.push_back(cursor.get<int32_t>());
  return out;
}

Result<GgufFile> GgufFile::open(const std::string& path) {
  GgufFile gguf;
  gguf.path_ = path;
  ASSAY_TRY_STATUS(gguf.add_file(path));
  if (gguf.has("split.count")) {
    ASSAY_TRY(const int64_t parts, gguf.integer("split.count"));
    if (parts > 1) {
      ASSAY_TRY_STATUS(gguf.add_parts(parts));
    }
  }
  ASSAY_TRY_STATUS(gguf.check_extents());
  return gguf;
}

// Names of parts: gguf-split's "%s-%05d-of-%05d.gguf".
Status GgufFile::add_parts(int64_t count) {
  const std::string first_end = fmt::format("-00001-of-{:05}.gguf", count);
  if (count > 10'000 || !path_.ends_with(first_end)) {
    return Error{
        fmt::format("{}: this model is split into {} files; name the first one, "
                    "NAME{}",
                    path_, count, first_end)};
  }
  const std::string name = path_.substr(0, path_.size() - first_end.size());
  for (int64_t part = 2; part <= count; ++part) {
    ASSAY_TRY_STATUS(add_file(fmt::format("{}-{:05}-of-{:05}.gguf", name, part, count)));
  }
  return {};
}

Status GgufFile::add_file(const std::string& path) {
  const size_t index = files_.size();
  ASSAY_TRY(MappedFile mapped, MappedFile::open(path));
  files_.push_back(std::move(mapped));
  const std::string_view file = files_.back().bytes();
  if (!file.starts_with("GGUF")) {
    return Error{path + ": not a GGUF file (it does not begin with \"GGUF\"); check the download"};
  }
  Cursor cursor(file);
  cursor.take(4);
  const auto version = cursor.get<uint32_t>();
  if (version < 2 || version > 3) {
    return Error{
        fmt::format("{}: GGUF version {} is not supported; versions 2 and 3 are", path, version)};
  }
  const auto tensor_count = cursor.get<uint64_t>();
  const auto metadata_count = cursor.get<uint64_t>();
  const auto damaged = [&](std::string_view where) {
    return Error{fmt::format("{}: damaged or truncated at byte {} ({}); download it again", path,
                             cursor.at(), where)};
  };
  if (cursor.failed() || tensor_count > kMaxEntries || metadata_count > kMaxEntries) {
    return damaged("header");
  }
  for (uint64_t i = 0; i < metadata_count; ++i) {
    const std::string_view key_view = cursor.text();
    const std::string key(key_view);
    const uint64_t begin = cursor.at();
    const auto value = read_value(cursor, file);
    if (cursor.failed() || !value) {
      return damaged(fmt::format("metadata entry {} of {}, key {}", i + 1, metadata_count,
                                 quote_for_message(key)));
    }
    if (index > 0) continue;
    metadata_.emplace(key, *value);
    entries_.emplace_back(key_view, file.substr(begin, cursor.at() - begin));
  }
  std::vector<GgufTensor*> added;
  for (uint64_t i = 0; i < tensor_count; ++i) {
    const std::string name(cursor.text());
    GgufTensor tensor;
    tensor.file = index;
    const auto dimensions = cursor.get<uint32_t>();
    if (dimensions > 4)
      return damaged(
          fmt::format("tensor {} has {} dimensions", quote_for_message(name), dimensions));
    for (uint32_t d = 0; d < dimensions; ++d) tensor.shape.push_back(cursor.get<uint64_t>());
    tensor.type_code = cursor.get<uint32_t>();
    tensor.offset = cursor.get<uint64_t>();
    if (cursor.failed()) {
      return damaged(fmt::format("tensor entry {} of {}", i + 1, tensor_count));
    }
    const auto [place, fresh] = tensors_.emplace(name, tensor);
    if (!fresh) return damaged(fmt::format("tensor {} stands twice", quote_for_message(name)));
    added.push_back(&place->second);
  }
  uint64_t alignment = 32;
  if (has("general.alignment")) {
    ASSAY_TRY(const int64_t stated, integer("general.alignment"));
    if (stated < 1 || stated > 1 << 20 || !std::has_single_bit(static_cast<uint64_t>(stated))) {
      return damaged(fmt::format("general.alignment {}", stated));
    }
    alignment = static_cast<uint64_t>(stated);
  }
  const uint64_t data_start = (cursor.at() + alignment - 1) / alignment * alignment;
  for (GgufTensor* tensor : added) {
    if (tensor->offset % alignment != 0 || tensor->offset > file.size() ||
        data_start + tensor->offset > file.size()) {
      return Error{
          fmt::format("{}: a tensor begins at byte {}, beyond the file's {} bytes or "
                      "misaligned; the file is truncated or damaged, download it again",
                      path, data_start + tensor->offset, file.size())};
    }
    tensor->offset += data_start;
  }
  return {};
}

// Two tensors that share bytes: no writer makes such a file.
Status GgufFile::check_extents() const {
  struct Extent {
    size_t file;
    uint64_t begin, end;
    const std::string* name;
  };
  std::vector<Extent> extents;
  for (const auto& [name, tensor] : tensors_) {
    const std::optional<Weight> weight = tensor.as_weight();
    if (!weight) continue;
    extents.push_back({tensor.file, tensor.offset, tensor.offset + weight->size_bytes(), &name});
  }
  std::sort(extents.begin(), extents.end(), [](const Extent& a, const Extent& b) {
    return std::tie(a.file, a.begin) < std::tie(b.file, b.begin);
  });
  for (size_t i = 1; i < extents.size(); ++i) {
    const Extent &a = extents[i - 1], &b = extents[i];
    if (a.file != b.file || a.end <= b.begin) continue;
    return Error{fmt::format("{}: tensors {} and {} overlap at byte {}; the file is damaged", path_,
                             quote_for_message(*a.name), quote_for_message(*b.name), b.begin)};
  }
  return {};
}

std::optional<Weight> GgufTensor::as_weight() const {
  // So that no product of sizes overflows.
  constexpr uint64_t kMaxSide = uint64_t{1} << 31;
  const std::optional<DType> dtype = dtype_from_gguf(type_code);
  if (!dtype || shape.empty() || shape.size() > 2) return std::nullopt;
  for (const uint64_t side : shape) {
    if (side == 0 || side > kMaxSide) return std::nullopt;
  }
  if (shape[0] % static_cast<uint64_t>(type_info(*dtype).values) != 0) return std::nullopt;
  return Weight{nullptr, *dtype, shape.size() == 2 ? static_cast<int64_t>(shape[1]) : 1,
                static_cast<int64_t>(shape[0])};
}

const GgufValue* GgufFile::find(const std::string& key) const {
  const auto found = metadata_.find(key);
  return found == metadata_.end() ? nullptr : &found->second;
}

Result<std::string> GgufFile::text(const std::string& key) const {
  const GgufValue* value = find(key);
  if (value != nullptr) {
    if (const auto* text = std::get_if<std::string_view>(value)) return std::string(*text);
  }
  return Error{fmt::format("{}: metadata key {} (a string) is missing", path_, key)};
}

Result<int64_t> GgufFile::integer(const std::string& key) const {
  if (const GgufValue* value = find(key)) {
    if (const auto* number = std::get_if<int64_t>(value)) return *number;
    if (const auto* number = std::get_if<uint64_t>(value);
        number != nullptr && *number <= INT64_MAX) {
      return static_cast<int64_t>(*number);
    }
  }
  return Error{fmt::format("{}: metadata key {} (a whole number) is missing", path_, key)};
}

Result<double> GgufFile::number(const std::string& key) const {
  if (const GgufValue* value = find(key)) {
    if (const auto* number = std::get_if<double>(value)) return *number;
    if (const auto* whole = std::get_if<int64_t>(value)) return static_cast<double>(*whole);
    if (const auto* whole = std::get_if<uint64_t>(value)) return static_cast<double>(*whole);
  }
  return Error{fmt::format("{}: metadata key {} (a number) is missing", path_, key)};
}

std::optional<bool> GgufFile::boolean(const std::string& key) const {
  const GgufValue* value = find(key);
  if (value == nullptr) return std::nullopt;
  const bool* flag = std::get_if<bool>(value);
  return flag == nullptr ? std::nullopt : std::optional<bool>(*flag);
}

Result<GgufArray> GgufFile::array(const std::string& key) const {
  if (const GgufValue* value = find(key)) {
    if (const auto* array = std::get_if<GgufArray>(value)) return *array;
  }
  return Error{fmt::format("{}: metadata key {} (an array) is missing", path_, key)};
}

Result<Weight> GgufFile::tensor(const std::string& name) const {
  const auto found = tensors_.find(name);
  if (found == tensors_.end()) {
    return Error{fmt::format("{}: tensor {} is missing", path_, name)};
  }
  const GgufTensor& tensor = found->second;
  if (!dtype_from_gguf(tensor.type_code)) {
    std::vector<std::string_view> supported;
    for (const TypeInfo& type : kTypes) supported.push_back(type.name);
    return Error{fmt::format(
        "{}: tensor {} has type {} ({}), which is not supported; supported are {}", path_, name,
        type_name(tensor.type_code), tensor.type_code, fmt::join(supported, ", "))};
  }
  std::optional<Weight> weight = tensor.as_weight();
  if (!weight) {
    return Error{fmt::format(
        "{}: tensor {} has a shape that its type cannot have; the file is damaged", path_, name)};
  }
  const std::string_view file = files_[tensor.file].bytes();
  if (weight->size_bytes() > file.size() - tensor.offset) {
    return Error{
        fmt::format("{}: tensor {} needs {} rows of {} bytes from byte {}, beyond the "
                    "file's {} bytes; the file is truncated, download it again",
                    path_, name, weight->rows, weight->row_bytes(), tensor.offset, file.size())};
  }
  weight->data = reinterpret_cast<const uint8_t*>(file.data()) + tensor.offset;
  return *weight;
}

}  // namespace assay
