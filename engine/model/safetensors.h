// Reader of safetensors files (format: huggingface/safetensors README): an 8-byte header length, a
// JSON header, then the data. Several shards are joined by model.safetensors.index.json. Headers
// are not trusted.
#pragma once

#include <map>
#include <string>
#include <vector>

#include "engine/tensor.h"
#include "harness/base/file.h"
#include "harness/base/result.h"

namespace assay {

class SafetensorsModel {
 public:
  // Opens `folder`/model.safetensors, or all shards that the index names.
  static Result<SafetensorsModel> open(const std::string& folder);

  bool has_tensor(const std::string& name) const { return tensors_.contains(name); }
  // A tensor of one or two dimensions, F32, F16 or BF16.
  Result<Weight> tensor(const std::string& name) const;
  // Paths of the files, in the order of their names.
  std::vector<std::string> paths() const;
  std::vector<const MappedFile*> files() const;

 private:
  struct Entry {
    size_t file;
    std::string dtype;
    std::vector<int64_t> shape;
    std::string_view bytes;
  };
  Status add_file(const std::string& path);

  std::vector<std::pair<std::string, MappedFile>> files_;
  std::map<std::string, Entry> tensors_;
};

}  // namespace assay
