// Reader of GGUF files, versions 2 and 3 (format: ggml/docs/gguf.md). Nothing in the file is
// trusted: every count, length and offset is checked against the file's size before it is used.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <variant>
#include <vector>

#include "engine/tensor.h"
#include "harness/base/file.h"
#include "harness/base/result.h"

namespace assay {

// A metadata value. Integers are widened; strings are views into the mapped file.
struct GgufArray;
using GgufValue = std::variant<int64_t, uint64_t, double, bool, std::string_view, GgufArray>;
struct GgufArray {
  uint32_t type = 0;
  uint64_t count = 0;
  std::string_view bytes;  // the elements as they stand in the file

  // Elements of a string array; each inside `bytes`.
  std::vector<std::string_view> strings() const;
  // Elements of an array of int32/uint32; empty for other types.
  std::vector<int32_t> integers() const;
};

struct GgufTensor {
  size_t file = 0;  // of a model that is split
  uint32_t type_code = 0;
  std::vector<uint64_t> shape;  // as stored: innermost dimension first
  uint64_t offset = 0;          // from the file's begin

  // Nothing if the shape is impossible or the type unknown.
  std::optional<Weight> as_weight() const;
};

class GgufFile {
 public:
  // For a split model (…-00001-of-00004.gguf) the path is that of the first part.
  static Result<GgufFile> open(const std::string& path);

  const std::string& path() const { return path_; }
  // The file, or the parts in order.
  const std::vector<MappedFile>& files() const { return files_; }
  bool has(const std::string& key) const { return metadata_.contains(key); }

  // Metadata by key; an error names file, key and what it should be.
  Result<std::string> text(const std::string& key) const;
  Result<int64_t> integer(const std::string& key) const;
  Result<double> number(const std::string& key) const;
  std::optional<bool> boolean(const std::string& key) const;
  Result<GgufArray> array(const std::string& key) const;

  // A tensor of one or two dimensions as a weight; checked to lie inside the file.
  Result<Weight> tensor(const std::string& name) const;
  bool has_tensor(const std::string& name) const { return tensors_.contains(name); }

  // Metadata of the first file in its order: key, and type and value as they stand in the file.
  const std::vector<std::pair<std::string_view, std::string_view>>& entries() const {
    return entries_;
  }
  const std::map<std::string, GgufTensor>& tensors() const { return tensors_; }

 private:
  const GgufValue* find(const std::string& key) const;
  // Reads a header; metadata only from the first file.
  Status add_file(const std::string& path);
  Status add_parts(int64_t count);
  Status check_extents() const;

  std::string path_;
  std::vector<MappedFile> files_;
  std::map<std::string, GgufValue> metadata_;
  std::vector<std::pair<std::string_view, std::string_view>> entries_;
  std::map<std::string, GgufTensor> tensors_;
};

}  // namespace assay
