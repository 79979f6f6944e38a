#include "harness/dry_run.h"

#include <fmt/format.h>

#include <algorithm>
#include <set>

#include "harness/base/clock.h"
#include "harness/base/text.h"

namespace assay {
namespace {

constexpr int kTrialTokens = 16;

// The first requests of the job, each for a few tokens.
class TrialSource : public RequestSource {
 public:
  TrialSource(JobSource& job, int limit) : job_(job), left_(limit) {}
  std::optional<Request> next() override {
    if (left_-- <= 0) return std::nullopt;
    std::optional<Request> request = job_.next();
    if (!request) return request;
    auto sampling = std::make_shared<SamplingParams>(*request->sampling);
    sampling->max_tokens = std::min(sampling->max_tokens, kTrialTokens);
    request->sampling = sampling;
    return request;
  }

 private:
  JobSource& job_;
  int left_;
};

class DroppingSink : public CompletionSink {
 public:
  Status accept(Completion) override { return {}; }
};

struct TokenCounts {
  int64_t questions = 0, samples = 0, prompt_tokens = 0, longest_prompt = 0, most_tokens = 0;
};

TokenCounts count_tokens(const Task& task, const JobSource::Prompts& prompts) {
  TokenCounts counts;
  for (const Item& item : task.items) {
    ++counts.questions;
    std::set<const Prompt*> counted;
    for (const auto& prompt : prompts.at({task.suite.name, item.id})) {
      if (!counted.insert(prompt.get()).second) continue;
      const auto tokens = static_cast<int64_t>(prompt->token_ids.size());
      counts.prompt_tokens += tokens;
      counts.longest_prompt = std::max(counts.longest_prompt, tokens);
    }
  }
  counts.samples = counts.questions * task.num_samples;
  counts.most_tokens = counts.samples * task.sampling->max_tokens;
  return counts;
}

}  // namespace

Status print_dry_run(const RunOptions& options, const std::vector<Task>& tasks,
                     ModelUnderTest& model, const JobSource::Prompts& prompts) {
  LocalEngine* local = model.local_engine();
  int64_t most_tokens = 0;
  uint64_t kv_cache_bytes = 0;
  for (const Task& task : tasks) {
    const Item& first = task.items.front();
    const Prompt& prompt = *prompts.at({task.suite.name, first.id}).front();
    const TokenCounts counts = count_tokens(task, prompts);
    most_tokens += counts.most_tokens;
    const SamplingParams& sampling = *task.sampling;
    if (local != nullptr) {
      kv_cache_bytes = std::max(
          kv_cache_bytes,
          local->kv_cache_bytes(static_cast<int>(counts.longest_prompt), sampling.max_tokens));
    }
    fmt::print("suite {}: {} questions × {} samples = {} samples\n", task.suite.name,
               counts.questions, task.num_samples, with_commas(counts.samples));
    fmt::print("  sampling: temperature {}, top-p {}, top-k {}, min-p {}, max-tokens {}\n",
               sampling.temperature, sampling.top_p, sampling.top_k, sampling.min_p,
               sampling.max_tokens);
    fmt::print("  prompts: {} tokens in all, {} the longest; each is prefilled once\n",
               with_commas(counts.prompt_tokens), counts.longest_prompt);
    fmt::print("  completions: at most {} tokens\n", with_commas(counts.most_tokens));
    fmt::print("  first prompt ({}, {} tokens):\n--------\n{}\n--------\n", first.id,
               prompt.token_ids.size(), prompt.text);
  }
  if (local == nullptr) return {};
  const std::set<SampleId> none;
  JobSource job(tasks, prompts, options.seed, none);
  TrialSource source(job, options.batch_size);
  DroppingSink sink;
  const std::atomic<bool> stop{false};
  const double started_s = monotonic_s();
  ASSAY_TRY_STATUS(local->generate(source, sink, stop));
  const double elapsed_s = monotonic_s() - started_s;
  const double rate = static_cast<double>(local->stats().generated_tokens) / elapsed_s;
  if (local->stats().generated_tokens == 0) {
    fmt::print("estimate: none, as no prompt of the trial fits into the model's context\n");
  } else {
    fmt::print(
        "estimate: {:.0f} tokens/s in a trial of {} tokens, so at most {} for the job; less when "
        "answers are shorter than max-tokens\n",
        rate, with_commas(local->stats().generated_tokens),
        format_duration(static_cast<double>(most_tokens) / std::max(rate, 1e-9)));
  }
  const uint64_t sum = local->weights_bytes() + kv_cache_bytes + local->logits_bytes();
  fmt::print(
      "memory: {} when all samples reach max-tokens (weights {}, KV cache {} of at most {}, logits "
      "{}), beside the program and its scorers\n",
      format_bytes(sum), format_bytes(local->weights_bytes()), format_bytes(kv_cache_bytes),
      format_bytes(local->kv_cache_bytes()), format_bytes(local->logits_bytes()));
  return {};
}

}  // namespace assay
