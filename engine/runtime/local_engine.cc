#include "engine/runtime/local_engine.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <fstream>
#include <sstream>

namespace assay {
namespace {

uint64_t available_memory_bytes() {
  std::ifstream info("/proc/meminfo");
  std::string line;
  while (std::getline(info, line)) {
    if (!line.starts_with("MemAvailable:")) continue;
    std::istringstream fields(line.substr(13));
    uint64_t kib = 0;
    fields >> kib;
    return kib * 1024;
  }
  return uint64_t{4} << 30;
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

LocalEngine::LocalEngine(const LocalModel& model, std::unique_ptr<Ops> ops,
                         const LocalEngineOptions& options)
    : model_(model),
      ops_(std::move(ops)),
      transformer_(model.files.config, model.files.weights, *ops_, options.kv_cache) {
  const double budget = options.kv_cache_gib > 0
                            ? options.kv_cache_gib * 0x1p30
                            : static_cast<double>(available_memory_bytes()) / 2;
  const double pages = budget / static_cast<double>(transformer_.page_bytes());
  scheduler_options_.batch_size = options.batch_size;
  scheduler_options_.max_pages = static_cast<int>(std::clamp(pages, 1.0, 1e9));
}

Result<std::unique_ptr<LocalEngine>> LocalEngine::create(const LocalModel& model,
                                                         const LocalEngineOptions& options) {
  ASSAY_TRY(std::unique_ptr<Ops> ops, make_cpu_ops(options.cpu));
  return std::unique_ptr<LocalEngine>(new LocalEngine(model, std::move(ops), options));
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
  std::vector<float> logits(static_cast<size_t>(count) * vocab_size);
  transformer_.forward(rows, wanted, logits.data());
  std::vector<float> scratch(static_cast<size_t>(vocab_size));
  for (int i = 0; i < count; ++i) {
    float* row = logits.data() + i * vocab_size;
    const float best = ops_->max(row, static_cast<int>(vocab_size));
    const double total =
        ops_->exp_sum(row, static_cast<int>(vocab_size), best, 1.0f, scratch.data());
    const double log_total = std::log(total);
    for (int64_t t = 0; t < vocab_size; ++t) row[t] = static_cast<float>(row[t] - best - log_total);
  }
  return logits;
}

}  // namespace assay
