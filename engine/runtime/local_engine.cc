#include "engine/runtime/local_engine.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <charconv>
#include <span>

#include "engine/cpu/cpu_ops.h"
#include "engine/cuda/cuda_ops.h"

namespace assay {
namespace {

constexpr double kGpuMemoryShare = 0.9;  // the rest is left to the driver and to others

struct Device {
  std::unique_ptr<Ops> ops;
  Activations activations;
  KvType kv_type;
};

template <typename Enum>
Result<Enum> choose(const char* flag, std::optional<Enum> wanted, std::span<const Enum> choices,
                    std::span<const std::string_view> names, std::string_view device) {
  if (!wanted) return choices[0];
  if (std::find(choices.begin(), choices.end(), *wanted) != choices.end()) return *wanted;
  std::string offered;
  for (const Enum choice : choices) {
    offered +=
        std::string(offered.empty() ? "" : ", ") + std::string(names[static_cast<int>(choice)]);
  }
  return Error{fmt::format("{} {}: the device {} has {}", flag, names[static_cast<int>(*wanted)],
                           device, offered)};
}

Result<Device> open_cpu(const LocalEngineOptions& options) {
  constexpr Activations kActivations[] = {Activations::kFixed16, Activations::kF32,
                                          Activations::kInt8};
  constexpr KvType kKvTypes[] = {KvType::kFixed16, KvType::kF32, KvType::kBF16};
  Device device;
  ASSAY_TRY(device.activations, choose<Activations>("--activations", options.activations,
                                                    kActivations, kActivationNames, "cpu"));
  ASSAY_TRY(device.kv_type,
            choose<KvType>("--kv-cache", options.kv_cache, kKvTypes, kKvTypeNames, "cpu"));
  ASSAY_TRY(device.ops, make_cpu_ops({options.threads, options.cpu_isa, device.activations}));
  return device;
}

Result<Device> open_cuda(const LocalEngineOptions& options, const ModelConfig& config,
                         std::unique_ptr<CudaRuntime> runtime) {
  constexpr Activations kActivations[] = {Activations::kBF16x2, Activations::kBF16};
  constexpr KvType kKvTypes[] = {KvType::kBF16};
  const std::string name = runtime->name();
  if (std::find(std::begin(kCudaHeadDims), std::end(kCudaHeadDims), config.head_dim) ==
      std::end(kCudaHeadDims)) {
    return Error{
        fmt::format("--device {}: the model's heads have {} dimensions, the device's "
                    "kernels are built for {}; use --device cpu",
                    name, config.head_dim, fmt::join(kCudaHeadDims, ", "))};
  }
  Device device;
  ASSAY_TRY(device.activations, choose<Activations>("--activations", options.activations,
                                                    kActivations, kActivationNames, name));
  ASSAY_TRY(device.kv_type,
            choose<KvType>("--kv-cache", options.kv_cache, kKvTypes, kKvTypeNames, name));
  device.ops = make_cuda_ops(std::move(runtime), device.activations);
  return device;
}

Result<Device> open_device(const LocalEngineOptions& options, const ModelConfig& config) {
  const std::string& name = options.device;
  if (name == "cpu") return open_cpu(options);
  if (name == "simt") return open_cuda(options, config, make_simt_runtime());
  if (name == "auto" || name == "cuda") {
    auto runtime = make_gpu_runtime(0);
    if (!runtime.ok()) {
      if (name == "auto") return open_cpu(options);
      return runtime.error();
    }
    return open_cuda(options, config, std::move(runtime).value());
  }
  int index = -1;
  if (name.starts_with("cuda:")) {
    const char *begin = name.data() + 5, *end = name.data() + name.size();
    if (std::from_chars(begin, end, index).ptr != end) index = -1;
  }
  if (index < 0) return Error{"--device " + name + ": must be auto, cpu, cuda, cuda:N or simt"};
  ASSAY_TRY(std::unique_ptr<CudaRuntime> runtime, make_gpu_runtime(index));
  return open_cuda(options, config, std::move(runtime));
}

}  // namespace

Result<std::unique_ptr<LocalModel>> LocalModel::open(const std::string& path) {
  auto model = std::make_unique<LocalModel>();
  ASSAY_TRY(model->files, ModelFiles::open(path));
  if (model->files.gguf) {
    ASSAY_TRY(model->tokenizer, Tokenizer::from_gguf(*model->files.gguf));
  } else {
    ASSAY_TRY(model->tokenizer, Tokenizer::from_folder(path));
  }
  if (model->tokenizer.size() > model->files.config.vocab_size) {
    return Error{
        fmt::format("{}: the tokenizer has {} tokens, the model only {}; they do not "
                    "belong together",
                    path, model->tokenizer.size(), model->files.config.vocab_size)};
  }
  if (!model->tokenizer.chat_template().empty()) {
    ASSAY_TRY(model->chat_template, ChatTemplate::parse(model->tokenizer.chat_template(), path));
  }
  return model;
}

LocalEngine::LocalEngine(const LocalModel& model, std::unique_ptr<Ops> ops, Activations activations,
                         KvType kv_type, const LocalEngineOptions& options)
    : model_(model),
      ops_(std::move(ops)),
      activations_(activations),
      kv_type_(kv_type),
      transformer_(model.files.config, model.files.weights, *ops_, kv_type) {
  const auto free_bytes = static_cast<double>(ops_->free_bytes());
  const double spare = ops_->name() == "cpu"
                           ? free_bytes / 2
                           : free_bytes * kGpuMemoryShare - static_cast<double>(weights_bytes());
  const double budget = options.kv_cache_gib > 0 ? options.kv_cache_gib * 0x1p30 : spare;
  const double pages = budget / static_cast<double>(transformer_.page_bytes());
  scheduler_options_.batch_size = options.batch_size;
  scheduler_options_.max_pages = static_cast<int>(std::clamp(pages, 1.0, 1e9));
}

Result<std::unique_ptr<LocalEngine>> LocalEngine::create(const LocalModel& model,
                                                         const LocalEngineOptions& options) {
  ASSAY_TRY(Device device, open_device(options, model.files.config));
  return std::unique_ptr<LocalEngine>(
      new LocalEngine(model, std::move(device.ops), device.activations, device.kv_type, options));
}

Status LocalEngine::generate(RequestSource& source, CompletionSink& sink,
                             const std::atomic<bool>& stop) {
  Scheduler scheduler(transformer_, *ops_, model_.tokenizer, scheduler_options_, stats_);
  return scheduler.run(source, sink, stop);
}

uint64_t LocalEngine::kv_cache_bytes() const {
  return uint64_t{transformer_.page_bytes()} * scheduler_options_.max_pages;
}

uint64_t LocalEngine::kv_cache_bytes(int prompt_tokens, int max_tokens) const {
  const int longest = std::min(prompt_tokens + max_tokens, transformer_.config().context_length);
  const int own = pages_for(longest) - prompt_tokens / kPageTokens;  // the rest is shared
  const int64_t pages = pages_for(prompt_tokens) + int64_t{scheduler_options_.batch_size} * own;
  return std::min<uint64_t>(uint64_t{transformer_.page_bytes()} * static_cast<uint64_t>(pages),
                            kv_cache_bytes());
}

uint64_t LocalEngine::logits_bytes() const {
  return sizeof(float) * static_cast<uint64_t>(scheduler_options_.batch_size) *
         static_cast<uint64_t>(transformer_.config().vocab_size);
}

Result<std::vector<float>> LocalEngine::logprobs(std::span<const int32_t> tokens) {
  const int64_t vocab_size = transformer_.config().vocab_size;
  const int count = static_cast<int>(tokens.size());
  KvCache cache(*ops_, transformer_.page_bytes(), scheduler_options_.max_pages);
  PageTable pages(cache);
  if (!pages.grow_to(count)) return Error{"the KV cache is too small; raise --kv-cache-gib"};
  std::vector<BatchRow> rows;
  std::vector<int> wanted;
  for (int i = 0; i < count; ++i) {
    if (tokens[i] < 0 || tokens[i] >= vocab_size) {
      return Error{fmt::format("token {} at position {} is not in the vocabulary", tokens[i], i)};
    }
    rows.push_back({tokens[i], i, pages.data()});
    wanted.push_back(i);
  }
  const size_t size = static_cast<size_t>(count) * vocab_size;
  const Ops::Buffer logits = ops_->allocate(size);
  transformer_.forward(rows, wanted, logits.get());
  ops_->log_softmax(logits.get(), count, static_cast<int>(vocab_size));
  std::vector<float> logprobs(size);
  ops_->download(logits.get(), size, logprobs.data());
  ASSAY_TRY_STATUS(ops_->status());
  return logprobs;
}

}  // namespace assay
