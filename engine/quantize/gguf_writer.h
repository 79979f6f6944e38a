// Writes GGUF files, version 3 (format: ggml/docs/gguf.md), tensor by tensor.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "engine/tensor.h"
#include "harness/base/file.h"
#include "harness/base/result.h"

namespace assay {

// Metadata in the order in which it was added. A value is its type and bytes as the file has them.
class GgufMetadata {
 public:
  // Takes the place of an entry of that key, at the end.
  void set_raw(std::string_view key, std::string value);
  void set(std::string_view key, std::string_view text);
  void set(std::string_view key, uint32_t value);
  void set(std::string_view key, float value);
  void set(std::string_view key, bool value);
  void set(std::string_view key, const std::vector<std::string>& texts);
  void set(std::string_view key, const std::vector<int32_t>& values);
  void erase(std::string_view key);

  const std::vector<std::pair<std::string, std::string>>& entries() const { return entries_; }

 private:
  std::vector<std::pair<std::string, std::string>> entries_;
};

struct GgufTensorInfo {
  std::string name;
  DType dtype = DType::kF32;
  std::vector<uint64_t> shape;  // innermost dimension first
  uint64_t size_bytes = 0;
};

// The header of a file with these tensors, in this order, padded to where the first one's data
// begins. Each tensor's data are padded with zeros to a multiple of `alignment`.
std::string gguf_header(const GgufMetadata& metadata, const std::vector<GgufTensorInfo>& tensors,
                        uint64_t alignment = 32);

}  // namespace assay
