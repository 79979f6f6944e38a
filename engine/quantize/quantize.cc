#include "engine/quantize/quantize.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <atomic>
#include <cmath>

#include "engine/blocks.h"
#include "engine/quantize/quantize_row.h"
#include "engine/quantize/source.h"
#include "harness/base/parallel.h"

namespace assay {
namespace {

constexpr size_t kPartBytes = size_t{8} << 20;  // of f32 values that are under way

bool is_matrix(const SourceTensor& tensor) {
  return tensor.shape.size() > 1 && tensor.shape[1] > 1 && tensor.name.ends_with("weight") &&
         tensor.name.find("_norm.weight") == std::string::npos;
}

// Where the mixtures spend more bits: the first and the last eighth of the layers and every third
// between them.
bool more_bits(int layer, int layers) {
  return layer < layers / 8 || layer >= 7 * layers / 8 || (layer - layers / 8) % 3 == 2;
}

// What llama.cpp's table of types gives each matrix.
DType mixed_type(const QuantizeType& type, const SourceTensor& tensor, int layers, bool tied) {
  const bool medium = type.name.ends_with("_m"), small = type.name.ends_with("_s");
  const auto is = [&](const char* part) { return tensor.name.find(part) != std::string::npos; };
  const uint64_t columns = tensor.shape[0];
  if (tensor.name == "output.weight" || (tied && tensor.name == "token_embd.weight")) {
    if (columns % static_cast<uint64_t>(type_info(type.dtype).values) != 0) return DType::kQ8_0;
    return type.dtype == DType::kQ8_0 ? DType::kQ8_0 : DType::kQ6_K;
  }
  if (is("attn_v.weight")) {
    if (medium && more_bits(tensor.layer, layers)) return DType::kQ6_K;
    const bool big = layers == 80 && type.dtype == DType::kQ4_K;  // 70 B, whose attn_v are small
    return (small && tensor.layer < 4) || big ? DType::kQ5_K : type.dtype;
  }
  if (is("ffn_down")) {
    if (medium && more_bits(tensor.layer, layers)) return DType::kQ6_K;
    if (small && tensor.layer < layers / 8) return DType::kQ5_K;
  }
  return type.dtype;
}

// A type whose blocks divide the columns.
DType fitting_type(DType dtype, uint64_t columns) {
  const auto fits = [&](DType candidate) {
    return columns % static_cast<uint64_t>(type_info(candidate).values) == 0;
  };
  if (fits(dtype)) return dtype;
  const DType smaller = dtype == DType::kQ4_K   ? DType::kQ5_0
                        : dtype == DType::kQ5_K ? DType::kQ5_1
                        : dtype == DType::kQ6_K ? DType::kQ8_0
                                                : dtype;
  return fits(smaller) ? smaller : DType::kF16;
}

struct PlannedTensor {
  const SourceTensor* source;
  DType dtype;
  size_t row_bytes;
};

class Writer {
 public:
  Writer(const LocalModel& model, const QuantizeOptions& options, AtomicFile file)
      : path_(model.files.path),
        head_dim_(model.files.config.head_dim),
        options_(options),
        file_(std::move(file)) {}

  AtomicFile& file() { return file_; }

  Status write(const PlannedTensor& planned, uint64_t alignment) {
    const SourceTensor& source = *planned.source;
    const Weight& weight = source.weight;
    uint64_t written = 0;
    if (!source.values.empty()) {
      const size_t size = source.values.size() * sizeof(float);
      ASSAY_TRY_STATUS(file_.append({reinterpret_cast<const char*>(source.values.data()), size}));
      written = size;
    } else if (planned.dtype == weight.dtype && source.heads_to_pair == 0) {
      written = weight.size_bytes();
      ASSAY_TRY_STATUS(file_.append({reinterpret_cast<const char*>(weight.data), written}));
    } else {
      ASSAY_TRY_STATUS(convert(planned));
      written = planned.row_bytes * static_cast<uint64_t>(weight.rows);
    }
    return file_.append(std::string((alignment - written % alignment) % alignment, '\0'));
  }

 private:
  Status convert(const PlannedTensor& planned) {
    const Weight& weight = planned.source->weight;
    const std::vector<float>* importance = nullptr;
    if (options_.importance != nullptr) {
      const auto found = options_.importance->find(planned.source->name);
      if (found != options_.importance->end()) importance = &found->second;
    }
    if (importance != nullptr && importance->size() != static_cast<size_t>(weight.columns)) {
      return Error{
          fmt::format("{}: {} has {} columns, the importance matrix {}; it is of another "
                      "model",
                      path_, planned.source->name, weight.columns, importance->size())};
    }
    const int64_t rows_of_part =
        std::max<int64_t>(1, static_cast<int64_t>(kPartBytes / sizeof(float)) / weight.columns);
    std::string bytes;
    for (int64_t first = 0; first < weight.rows; first += rows_of_part) {
      const int64_t count = std::min(rows_of_part, weight.rows - first);
      bytes.resize(planned.row_bytes * static_cast<size_t>(count));
      std::atomic<bool> finite = true;
      parallel_ranges(count, [&](int64_t begin, int64_t end) {
        std::vector<float> values(static_cast<size_t>(weight.columns));
        for (int64_t i = begin; i < end; ++i) {
          const int64_t row =
              planned.source->heads_to_pair > 0 ? row_of_pairs(first + i, head_dim_) : first + i;
          dequantize(weight.dtype, weight.row(row), weight.columns, values.data());
          if (!std::all_of(values.begin(), values.end(),
                           [](float v) { return std::isfinite(v); })) {
            finite = false;
          }
          quantize_row(planned.dtype, values.data(), weight.columns,
                       importance != nullptr ? importance->data() : nullptr,
                       reinterpret_cast<uint8_t*>(bytes.data()) +
                           planned.row_bytes * static_cast<size_t>(i));
        }
      });
      if (!finite) {
        return Error{
            fmt::format("{}: tensor {} holds a value that is not finite; the file is "
                        "damaged",
                        path_, planned.source->name)};
      }
      ASSAY_TRY_STATUS(file_.append(bytes));
    }
    return {};
  }

  std::string path_;
  int64_t head_dim_;
  const QuantizeOptions& options_;
  AtomicFile file_;
};

Result<QuantizeType> find_type(const std::string& name) {
  std::vector<std::string> names;
  for (const QuantizeType& type : quantize_types()) {
    if (type.name == name) return type;
    names.push_back(type.name);
  }
  return Error{fmt::format("--type {}: must be one of {}", name, fmt::join(names, ", "))};
}

// The type of a tensor that is `stored` now.
DType planned_type(const QuantizeType& type, const SourceTensor& tensor, DType stored, int layers,
                   bool tied, int* fallbacks) {
  if (!is_matrix(tensor)) return stored;
  if (!is_quantized(type.dtype)) return type.dtype;
  const DType mixed = mixed_type(type, tensor, layers, tied);
  const DType fitting = fitting_type(mixed, tensor.shape[0]);
  *fallbacks += fitting != mixed ? 1 : 0;
  return fitting;
}

uint64_t bytes_of(DType dtype, uint64_t values) {
  const TypeInfo& info = type_info(dtype);
  return values / static_cast<uint64_t>(info.values) * static_cast<uint64_t>(info.bytes);
}

}  // namespace

const std::vector<QuantizeType>& quantize_types() {
  // Numbers: llama.cpp's llama_ftype.
  static const std::vector<QuantizeType> kAll = {
      {"f32", 0, DType::kF32},      {"bf16", 32, DType::kBF16},   {"f16", 1, DType::kF16},
      {"q8_0", 7, DType::kQ8_0},    {"q6_k", 18, DType::kQ6_K},   {"q5_k_m", 17, DType::kQ5_K},
      {"q4_k_m", 15, DType::kQ4_K}, {"q4_k_s", 14, DType::kQ4_K}, {"q4_0", 2, DType::kQ4_0}};
  return kAll;
}

Result<QuantizeSummary> quantize_model(const LocalModel& model, const std::string& out,
                                       const QuantizeOptions& options) {
  ASSAY_TRY(const QuantizeType type, find_type(options.type));
  ASSAY_TRY(GgufSource source, gguf_source(model));
  source.metadata.set("general.quantization_version", uint32_t{2});
  source.metadata.set("general.file_type", type.file_type);
  const bool tied = std::none_of(source.tensors.begin(), source.tensors.end(),
                                 [](const SourceTensor& t) { return t.name == "output.weight"; });
  QuantizeSummary summary;
  std::vector<PlannedTensor> plan;
  std::vector<GgufTensorInfo> infos;
  for (const SourceTensor& tensor : source.tensors) {
    DType dtype = tensor.values.empty() ? tensor.weight.dtype : DType::kF32;
    const DType wanted =
        planned_type(type, tensor, dtype, model.files.config.layers, tied, &summary.fallbacks);
    if (wanted != dtype && is_quantized(dtype) && !options.allow_requantize) {
      return Error{
          fmt::format("{}: tensor {} is {} already, and what it lost does not come back; "
                      "start from the original, or give --allow-requantize",
                      model.files.path, tensor.name, to_string(dtype))};
    }
    dtype = wanted;
    int64_t count = 1;
    for (const uint64_t side : tensor.shape) count *= static_cast<int64_t>(side);
    const size_t row_bytes = bytes_of(dtype, tensor.shape[0]);
    const uint64_t size = bytes_of(dtype, static_cast<uint64_t>(count));
    plan.push_back({&tensor, dtype, row_bytes});
    infos.push_back({tensor.name, dtype, tensor.shape, size});
    summary.parameters += count;
    summary.weights_bytes += size;
    ++summary.tensors[std::string(to_string(dtype))];
  }
  ASSAY_TRY(AtomicFile file, AtomicFile::create(out));
  Writer writer(model, options, std::move(file));
  const std::string header = gguf_header(source.metadata, infos, source.alignment);
  ASSAY_TRY_STATUS(writer.file().append(header));
  summary.size_bytes = header.size();
  for (size_t i = 0; i < plan.size(); ++i) {
    if (options.progress) {
      const SourceTensor& tensor = *plan[i].source;
      options.progress(tensor.name, tensor.values.empty() ? tensor.weight.dtype : DType::kF32,
                       plan[i].dtype);
    }
    ASSAY_TRY_STATUS(writer.write(plan[i], source.alignment));
    summary.size_bytes +=
        (infos[i].size_bytes + source.alignment - 1) / source.alignment * source.alignment;
    if (i % 16 == 15 && model.files.weights.drop_pages) model.files.weights.drop_pages();
  }
  ASSAY_TRY_STATUS(writer.file().finish());
  return summary;
}

Result<TypeSize> size_in_type(const ModelConfig& config, bool tied, const std::string& name) {
  ASSAY_TRY(const QuantizeType type, find_type(name));
  TypeSize size;
  int fallbacks = 0;
  const auto add = [&](const std::string& tensor_name, int layer, int rows, int columns) {
    SourceTensor tensor;
    tensor.name = tensor_name;
    tensor.layer = layer;
    tensor.shape = {static_cast<uint64_t>(columns)};
    if (rows > 1) tensor.shape.push_back(static_cast<uint64_t>(rows));
    const int64_t values = int64_t{rows} * columns;
    const DType dtype = planned_type(type, tensor, DType::kF32, config.layers, tied, &fallbacks);
    size.parameters += values;
    size.weights_bytes += bytes_of(dtype, static_cast<uint64_t>(values));
  };
  const int q_width = config.heads * config.head_dim, kv_width = config.kv_heads * config.head_dim;
  add("token_embd.weight", -1, config.vocab_size, config.width);
  if (!tied) add("output.weight", -1, config.vocab_size, config.width);
  add("output_norm.weight", -1, 1, config.width);
  for (int i = 0; i < config.layers; ++i) {
    const std::string prefix = fmt::format("blk.{}.", i);
    add(prefix + "attn_q.weight", i, q_width, config.width);
    add(prefix + "attn_k.weight", i, kv_width, config.width);
    add(prefix + "attn_v.weight", i, kv_width, config.width);
    add(prefix + "attn_output.weight", i, config.width, q_width);
    add(prefix + "ffn_gate.weight", i, config.ffn_width, config.width);
    add(prefix + "ffn_up.weight", i, config.ffn_width, config.width);
    add(prefix + "ffn_down.weight", i, config.width, config.ffn_width);
    add(prefix + "attn_norm.weight", i, 1, config.width);
    add(prefix + "ffn_norm.weight", i, 1, config.width);
    if (config.architecture != "qwen2") continue;
    add(prefix + "attn_q.bias", i, 1, q_width);
    add(prefix + "attn_k.bias", i, 1, kv_width);
    add(prefix + "attn_v.bias", i, 1, kv_width);
  }
  return size;
}

}  // namespace assay
