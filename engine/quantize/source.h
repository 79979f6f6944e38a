// What a GGUF file of a model holds, whatever form the model has now.
#pragma once

#include <string>
#include <vector>

#include "engine/quantize/gguf_writer.h"
#include "engine/runtime/local_engine.h"
#include "engine/tensor.h"
#include "harness/base/result.h"

namespace assay {

struct SourceTensor {
  std::string name;  // as GGUF has it
  Weight weight;
  std::vector<uint64_t> shape;  // innermost dimension first
  int heads_to_pair = 0;        // rows are stored in the order of row_of_pairs; 0: as they are
  std::vector<float> values;    // of a vector that no file holds; `weight` is empty then
  int layer = -1;               // of "blk.N."
};

struct GgufSource {
  GgufMetadata metadata;
  std::vector<SourceTensor> tensors;  // layer by layer, by name; those of no layer first
  uint64_t alignment = 32;
};

// GGUF's llama models have the rows of a head ordered for the rotation of neighbours, Hugging
// Face's for that of halves: the row there that is `row` here.
int64_t row_of_pairs(int64_t row, int64_t head_dim);

// Views into the model's files.
Result<GgufSource> gguf_source(const LocalModel& model);

}  // namespace assay
