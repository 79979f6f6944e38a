// The in-tree engine: a model from disk, sampled on this machine.
#pragma once

#include <memory>
#include <optional>
#include <string>

#include "engine/engine.h"
#include "engine/model/shard.h"
#include "engine/model/weights.h"
#include "engine/runtime/scheduler.h"
#include "engine/tokenizer/prompt_format.h"
#include "harness/base/result.h"

namespace assay {

// A model with its tokenizer and chat template. Weights stay in the mapped file.
struct LocalModel : PromptFormat {
  ModelFiles files;

  static Result<std::unique_ptr<LocalModel>> open(const std::string& path);
};

struct LocalEngineOptions {
  // auto, cpu, cuda, cuda:N; cuda:all, a replica on each GPU; simt; simt:N, N replicas
  std::string device = "cpu";
  int tensor_parallel = 1;  // devices, from the named one on, that compute the model together
  int threads = 0;          // of the CPU; 0: one for each core
  std::string cpu_isa = "auto";
  std::optional<Activations> activations;  // none: the device's own choice
  std::optional<KvType> kv_cache;          // none: the device's own choice
  bool cublaslt = false;                   // CUDA: products with 16-bit weights by cuBLASLt
  int batch_size = 64;
  double kv_cache_gib = 0;  // 0: half of the CPU's memory that is available; of a GPU see below
  double gpu_memory = 0.9;  // share of a GPU's free memory that weights and KV cache may take
};

class LocalEngine : public Engine {
 public:
  // `model` must outlive the engine.
  static Result<std::unique_ptr<LocalEngine>> create(const LocalModel& model,
                                                     const LocalEngineOptions& options);

  // With several ranks, a run that was stopped or failed is the engine's last.
  Status generate(RequestSource& source, CompletionSink& sink,
                  const std::atomic<bool>& stop) override;
  const EngineStats& stats() const override { return stats_; }

  // Natural log-probabilities of every token of the vocabulary after each position of `tokens`:
  // [tokens, vocab_size]. For tests and checks; holds it all in memory.
  Result<std::vector<float>> logprobs(std::span<const int32_t> tokens);

  // The first replica, for work beside generating; not to be used while generate() runs.
  Ops& ops() { return *replicas_[0].ops; }
  Transformer& transformer() { return *replicas_[0].transformer; }
  int max_pages() const { return scheduler_options_.max_pages; }

  // What the tokens depend on, beside the model.
  std::string_view device() const { return replicas_[0].ops->name(); }
  int replicas() const { return static_cast<int>(replicas_.size()) / ranks_; }
  int tensor_parallel() const { return ranks_; }
  std::string_view activations() const { return kActivationNames[static_cast<int>(activations_)]; }
  std::string_view kv_cache() const { return kKvTypeNames[static_cast<int>(kv_type_)]; }

  bool cublaslt() const { return cublaslt_; }

  // Of the weights as a device keeps them, as what follows.
  uint64_t weights_bytes() const { return replicas_[0].transformer->packed_bytes(); }
  uint64_t kv_bytes_per_token() const {
    return replicas_[0].transformer->page_bytes() / kPageTokens;
  }
  // Size of the KV cache when it is full.
  uint64_t kv_cache_bytes() const;
  // The most that full batches of samples of one prompt take of it, and their logits.
  uint64_t kv_cache_bytes(int prompt_tokens, int max_tokens) const;
  uint64_t logits_bytes() const;

 private:
  // A device with the model on it, or with a rank's part of it.
  struct Replica {
    std::unique_ptr<ModelShard> shard;  // null: all of it
    std::unique_ptr<Ops> ops;
    std::unique_ptr<Transformer> transformer;
  };

  LocalEngine(const LocalModel& model, std::vector<Replica> replicas, int ranks,
              Activations activations, KvType kv_type, const LocalEngineOptions& options);

  Result<std::vector<float>> logprobs_of(Replica& replica, std::span<const int32_t> tokens) const;
  Status check_gpu_memory(const LocalEngineOptions& options) const;

  const LocalModel& model_;
  Activations activations_;
  KvType kv_type_;
  bool cublaslt_;
  std::vector<Replica> replicas_;  // or ranks; at least one
  int ranks_;                      // 1: replicas_ are replicas
  SchedulerOptions scheduler_options_;
  EngineStats stats_;
};

}  // namespace assay
