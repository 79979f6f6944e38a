// A model in another storage type: reads a GGUF file or a Hugging Face folder, writes a GGUF file.
#pragma once

#include <functional>
#include <map>
#include <string>
#include <vector>

#include "engine/runtime/local_engine.h"
#include "engine/tensor.h"
#include "harness/base/result.h"

namespace assay {

// A type of files, as llama.cpp names them; a K-type mixes storage types by tensor and layer.
struct QuantizeType {
  std::string name;        // "q4_k_m"
  uint32_t file_type = 0;  // general.file_type
  DType dtype = DType::kF32;
};

// All of them, in descending size.
const std::vector<QuantizeType>& quantize_types();

// How much the error of each input column of a matrix counts, by the matrix's GGUF name: the mean
// of the squared activations.
using Importance = std::map<std::string, std::vector<float>>;

struct QuantizeOptions {
  std::string type = "q4_k_m";
  const Importance* importance = nullptr;
  bool allow_requantize = false;  // of matrices that are quantized already
  std::function<void(const std::string& tensor, DType from, DType to)> progress;
};

struct QuantizeSummary {
  uint64_t size_bytes = 0, weights_bytes = 0;
  int64_t parameters = 0;
  std::map<std::string, int> tensors;  // by storage type
  int fallbacks = 0;                   // tensors whose columns the type's blocks do not divide
};

// What a model of this shape takes in a type, as quantize_model() writes it. `tied`: the lm_head is
// the embedding.
struct TypeSize {
  int64_t parameters = 0;
  uint64_t weights_bytes = 0;
};
Result<TypeSize> size_in_type(const ModelConfig& config, bool tied, const std::string& type);

// Tensors are read, converted on all cores and written in parts of some rows, so memory is that of
// a part. `out` appears at once when it is whole. Without importance the file is the one that
// llama.cpp's llama-quantize writes from the same GGUF file.
Result<QuantizeSummary> quantize_model(const LocalModel& model, const std::string& out,
                                       const QuantizeOptions& options);

}  // namespace assay
