#include "engine/quantize/gguf_writer.h"

#include <algorithm>
#include <type_traits>

namespace assay {
namespace {

enum ValueType : uint32_t { kU32 = 4, kI32 = 5, kF32 = 6, kBool = 7, kString = 8, kArray = 9 };

template <typename T>
void put(std::string& out, T value) {
  static_assert(std::is_trivially_copyable_v<T>);
  out.append(reinterpret_cast<const char*>(&value), sizeof(T));
}

void put_text(std::string& out, std::string_view text) {
  put(out, static_cast<uint64_t>(text.size()));
  out += text;
}

template <typename T>
std::string scalar(ValueType type, T value) {
  std::string out;
  put(out, static_cast<uint32_t>(type));
  put(out, value);
  return out;
}

std::string array_of(ValueType type, size_t count) {
  std::string out;
  put(out, static_cast<uint32_t>(kArray));
  put(out, static_cast<uint32_t>(type));
  put(out, static_cast<uint64_t>(count));
  return out;
}

}  // namespace

void GgufMetadata::set_raw(std::string_view key, std::string value) {
  erase(key);
  entries_.emplace_back(std::string(key), std::move(value));
}

void GgufMetadata::set(std::string_view key, std::string_view text) {
  std::string value;
  put(value, static_cast<uint32_t>(kString));
  put_text(value, text);
  set_raw(key, std::move(value));
}

void GgufMetadata::set(std::string_view key, uint32_t value) { set_raw(key, scalar(kU32, value)); }
void GgufMetadata::set(std::string_view key, float value) { set_raw(key, scalar(kF32, value)); }
void GgufMetadata::set(std::string_view key, bool value) {
  set_raw(key, scalar(kBool, static_cast<uint8_t>(value)));
}

void GgufMetadata::set(std::string_view key, const std::vector<std::string>& texts) {
  std::string value = array_of(kString, texts.size());
  for (const std::string& text : texts) put_text(value, text);
  set_raw(key, std::move(value));
}

void GgufMetadata::set(std::string_view key, const std::vector<int32_t>& values) {
  std::string value = array_of(kI32, values.size());
  for (const int32_t number : values) put(value, number);
  set_raw(key, std::move(value));
}

void GgufMetadata::erase(std::string_view key) {
  std::erase_if(entries_, [&](const auto& entry) { return entry.first == key; });
}

std::string gguf_header(const GgufMetadata& metadata, const std::vector<GgufTensorInfo>& tensors,
                        uint64_t alignment) {
  std::string out = "GGUF";
  put(out, uint32_t{3});
  put(out, static_cast<uint64_t>(tensors.size()));
  put(out, static_cast<uint64_t>(metadata.entries().size()));
  for (const auto& [key, value] : metadata.entries()) {
    put_text(out, key);
    out += value;
  }
  uint64_t offset = 0;
  for (const GgufTensorInfo& tensor : tensors) {
    put_text(out, tensor.name);
    put(out, static_cast<uint32_t>(tensor.shape.size()));
    for (const uint64_t side : tensor.shape) put(out, side);
    put(out, type_info(tensor.dtype).gguf_code);
    put(out, offset);
    offset += (tensor.size_bytes + alignment - 1) / alignment * alignment;
  }
  out.resize((out.size() + alignment - 1) / alignment * alignment, '\0');
  return out;
}

}  // namespace assay
