#include "engine/runtime/local_engine.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <charconv>
#include <span>

#include "engine/cpu/cpu_ops.h"
#include "engine/cuda/cuda_ops.h"
#include "engine/runtime/ranks.h"
#include "engine/runtime/replicas.h"

namespace assay {
namespace {

struct Device {
  std::vector<std::unique_ptr<Ops>> replicas;
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
  if (options.cublaslt) return Error{"--gemm cublaslt: needs --device cuda"};
  constexpr Activations kActivations[] = {Activations::kFixed16, Activations::kF32,
                                          Activations::kInt8};
  constexpr KvType kKvTypes[] = {KvType::kFixed16, KvType::kF32, KvType::kBF16};
  Device device;
  ASSAY_TRY(device.activations, choose<Activations>("--activations", options.activations,
                                                    kActivations, kActivationNames, "cpu"));
  ASSAY_TRY(device.kv_type,
            choose<KvType>("--kv-cache", options.kv_cache, kKvTypes, kKvTypeNames, "cpu"));
  ASSAY_TRY(std::unique_ptr<Ops> ops,
            make_cpu_ops({options.threads, options.cpu_isa, device.activations}));
  device.replicas.push_back(std::move(ops));
  return device;
}

Result<Device> open_cuda(const LocalEngineOptions& options, const ModelConfig& config,
                         CudaRuntimes runtimes) {
  constexpr Activations kActivations[] = {Activations::kBF16x2, Activations::kBF16};
  constexpr KvType kKvTypes[] = {KvType::kBF16, KvType::kInt8};
  const std::string name = runtimes[0]->name();
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
  for (auto& runtime : runtimes) {
    if (options.cublaslt) {
      ASSAY_TRY_STATUS(runtime->load_gemm());
    }
    device.replicas.push_back(
        make_cuda_ops(std::move(runtime), device.activations, options.cublaslt));
  }
  return device;
}

// The number behind "NAME:", or none.
std::optional<int> number_after(const std::string& name, const std::string& prefix) {
  if (!name.starts_with(prefix)) return std::nullopt;
  int number = -1;
  const char *begin = name.data() + prefix.size(), *end = name.data() + name.size();
  if (std::from_chars(begin, end, number).ptr != end || number < 0) return std::nullopt;
  return number;
}

// The ranks that compute the model together.
Result<Device> open_ranks(const LocalEngineOptions& options, const ModelConfig& config) {
  const std::string& name = options.device;
  if (name == "simt") {
    return open_cuda(options, config, make_simt_ranks(options.tensor_parallel));
  }
  const int first = name == "cuda" ? 0 : number_after(name, "cuda:").value_or(-1);
  if (first < 0) {
    return Error{
        fmt::format("--tensor-parallel {}: needs --device cuda or cuda:N, the first of its GPUs; "
                    "it is {}",
                    options.tensor_parallel, name)};
  }
  ASSAY_TRY(CudaRuntimes runtimes, make_gpu_ranks(first, options.tensor_parallel));
  return open_cuda(options, config, std::move(runtimes));
}

Result<Device> open_device(const LocalEngineOptions& options, const ModelConfig& config) {
  const std::string& name = options.device;
  if (options.tensor_parallel > 1) return open_ranks(options, config);
  if (name == "cpu") return open_cpu(options);
  if (name == "auto") {  // a GPU, if there is one that can run this model as asked
    auto runtime = make_gpu_runtime(0);
    if (!runtime.ok()) return open_cpu(options);
    CudaRuntimes one;
    one.push_back(std::move(runtime).value());
    auto device = open_cuda(options, config, std::move(one));
    return device.ok() ? std::move(device) : open_cpu(options);
  }
  CudaRuntimes runtimes;
  const int simt_count = name == "simt" ? 1 : number_after(name, "simt:").value_or(0);
  for (int i = 0; i < std::min(simt_count, 64); ++i) runtimes.push_back(make_simt_runtime());
  if (runtimes.empty()) {
    const bool all = name == "cuda:all";
    const int first = name == "cuda" || all ? 0 : number_after(name, "cuda:").value_or(-1);
    if (first < 0) {
      return Error{"--device " + name +
                   ": must be auto, cpu, cuda, cuda:N, cuda:all, simt or simt:N"};
    }
    const int end = all ? std::max(1, gpu_count()) : first + 1;
    for (int i = first; i < end; ++i) {
      ASSAY_TRY(std::unique_ptr<CudaRuntime> runtime, make_gpu_runtime(i));
      runtimes.push_back(std::move(runtime));
    }
  }
  return open_cuda(options, config, std::move(runtimes));
}

}  // namespace

Result<std::unique_ptr<LocalModel>> LocalModel::open(const std::string& path) {
  auto model = std::make_unique<LocalModel>();
  ASSAY_TRY(model->files, ModelFiles::open(path));
  ASSAY_TRY(static_cast<PromptFormat&>(*model),
            PromptFormat::of(model->files.gguf ? &*model->files.gguf : nullptr, path));
  if (model->tokenizer.size() > model->files.config.vocab_size) {
    return Error{
        fmt::format("{}: the tokenizer has {} tokens, the model only {}; they do not "
                    "belong together",
                    path, model->tokenizer.size(), model->files.config.vocab_size)};
  }
  return model;
}

LocalEngine::LocalEngine(const LocalModel& model, std::vector<Replica> replicas, int ranks,
                         Activations activations, KvType kv_type, const LocalEngineOptions& options)
    : model_(model),
      activations_(activations),
      kv_type_(kv_type),
      cublaslt_(options.cublaslt && replicas[0].ops->name() != "cpu"),
      replicas_(std::move(replicas)),
      ranks_(ranks) {
  for (Replica& replica : replicas_) {
    const ModelShard* shard = replica.shard.get();
    replica.transformer = std::make_unique<Transformer>(
        shard == nullptr ? model.files.config : shard->config,
        shard == nullptr ? model.files.weights : shard->weights, *replica.ops, kv_type);
  }
  const auto free_bytes = static_cast<double>(replicas_[0].ops->free_bytes());
  const double spare = device() == "cpu"
                           ? free_bytes / 2
                           : free_bytes * options.gpu_memory - static_cast<double>(weights_bytes());
  const double budget = options.kv_cache_gib > 0 ? options.kv_cache_gib * 0x1p30 : spare;
  const double pages = budget / static_cast<double>(replicas_[0].transformer->page_bytes());
  scheduler_options_.batch_size = options.batch_size;
  scheduler_options_.max_pages = static_cast<int>(std::clamp(pages, 1.0, 1e9));
}

Result<std::unique_ptr<LocalEngine>> LocalEngine::create(const LocalModel& model,
                                                         const LocalEngineOptions& options) {
  ASSAY_TRY(Device device, open_device(options, model.files.config));
  std::vector<Replica> replicas;
  const int ranks = options.tensor_parallel;
  for (std::unique_ptr<Ops>& ops : device.replicas) {
    std::unique_ptr<ModelShard> shard;
    if (ranks > 1) {
      ASSAY_TRY(ModelShard part, shard_model(model.files.config, model.files.weights,
                                             static_cast<int>(replicas.size()), ranks));
      shard = std::make_unique<ModelShard>(std::move(part));
    }
    replicas.push_back({std::move(shard), std::move(ops), nullptr});
  }
  std::unique_ptr<LocalEngine> engine(new LocalEngine(model, std::move(replicas), ranks,
                                                      device.activations, device.kv_type, options));
  ASSAY_TRY_STATUS(engine->check_gpu_memory(options));
  return engine;
}

// A plan, not a crash in the middle of loading: on a GPU everything must fit before it is begun.
Status LocalEngine::check_gpu_memory(const LocalEngineOptions& options) const {
  if (replicas_[0].ops->name() == "cpu") return {};
  const double gib = 0x1p30;
  const double usable = static_cast<double>(replicas_[0].ops->free_bytes()) * options.gpu_memory;
  const auto weights = static_cast<double>(weights_bytes());
  // A prompt of a thousand tokens and as much of an answer, for one sequence.
  const double least =
      static_cast<double>(replicas_[0].transformer->page_bytes()) * pages_for(2048);
  const double kv = options.kv_cache_gib > 0 ? options.kv_cache_gib * gib : least;
  if (weights + kv <= usable) return {};
  return Error{fmt::format(
      "--device {}: the weights take {:.1f} GiB and the KV cache at least {:.1f}, of {:.1f} GiB "
      "that "
      "--gpu-memory {:g} allows of {:.1f} free; take a smaller quantization, another GPU, or "
      "--device cpu",
      replicas_[0].ops->name(), weights / gib, kv / gib, usable / gib, options.gpu_memory,
      static_cast<double>(replicas_[0].ops->free_bytes()) / gib)};
}

Status LocalEngine::generate(RequestSource& source, CompletionSink& sink,
                             const std::atomic<bool>& stop) {
  EngineStats uncounted;  // by the ranks that repeat what the first does
  std::vector<ReplicaRun> runs;
  for (Replica& replica : replicas_) {
    EngineStats& stats = ranks_ > 1 && !runs.empty() ? uncounted : stats_;
    runs.push_back([&](RequestSource& from, CompletionSink& to, const std::atomic<bool>& halt) {
      Scheduler scheduler(*replica.transformer, *replica.ops, model_.tokenizer, scheduler_options_,
                          stats);
      return scheduler.run(from, to, halt);
    });
  }
  if (runs.size() == 1) return runs[0](source, sink, stop);
  if (ranks_ == 1) return run_replicas(runs, source, sink, stop);
  std::vector<RankRun> ranks;
  for (size_t i = 0; i < runs.size(); ++i) {
    ranks.push_back({runs[i], [this, i] { replicas_[i].ops->leave(); }});
  }
  return run_ranks(ranks, source, sink, stop);
}

uint64_t LocalEngine::kv_cache_bytes() const {
  return uint64_t{replicas_[0].transformer->page_bytes()} * scheduler_options_.max_pages;
}

uint64_t LocalEngine::kv_cache_bytes(int prompt_tokens, int max_tokens) const {
  const int longest =
      std::min(prompt_tokens + max_tokens, replicas_[0].transformer->config().context_length);
  const int own = pages_for(longest) - prompt_tokens / kPageTokens;  // the rest is shared
  const int64_t pages = pages_for(prompt_tokens) + int64_t{scheduler_options_.batch_size} * own;
  return std::min<uint64_t>(
      uint64_t{replicas_[0].transformer->page_bytes()} * static_cast<uint64_t>(pages),
      kv_cache_bytes());
}

uint64_t LocalEngine::logits_bytes() const {
  return sizeof(float) * static_cast<uint64_t>(scheduler_options_.batch_size) *
         static_cast<uint64_t>(replicas_[0].transformer->config().vocab_size);
}

Result<std::vector<float>> LocalEngine::logprobs(std::span<const int32_t> tokens) {
  std::vector<float> logprobs;
  Status status;
  for_each_rank(ranks_, [&](int rank) {
    Replica& replica = replicas_[static_cast<size_t>(rank)];
    Result<std::vector<float>> own = logprobs_of(replica, tokens);
    if (!replica.ops->status().ok()) replica.ops->leave();
    if (rank != 0) return;
    if (own.ok()) {
      logprobs = std::move(own).value();
    } else {
      status = own.error();
    }
  });
  ASSAY_TRY_STATUS(status);
  return logprobs;
}

Result<std::vector<float>> LocalEngine::logprobs_of(Replica& replica,
                                                    std::span<const int32_t> tokens) const {
  Ops& ops = *replica.ops;
  const int64_t vocab_size = replica.transformer->config().vocab_size;
  const int count = static_cast<int>(tokens.size());
  KvCache cache(ops, replica.transformer->page_bytes(), scheduler_options_.max_pages);
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
  const Ops::Buffer logits = ops.allocate(size);
  replica.transformer->forward(rows, wanted, logits.get());
  ops.log_softmax(logits.get(), count, static_cast<int>(vocab_size));
  std::vector<float> logprobs(size);
  ops.download(logits.get(), size, logprobs.data());
  ASSAY_TRY_STATUS(ops.status());
  return logprobs;
}

}  // namespace assay
