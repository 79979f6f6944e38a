// Continuous batching over a paged KV cache: decides which sequences run, and steps them.
#pragma once

#include <algorithm>
#include <atomic>
#include <deque>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "engine/engine.h"
#include "engine/model/transformer.h"
#include "engine/runtime/kv_cache.h"
#include "engine/tokenizer/tokenizer.h"

namespace assay {

struct SchedulerOptions {
  int batch_size = 64;  // sequences that step together
  int max_pages = 0;    // of the KV cache
};

// On a device that works on its own the next step is asked for before the tokens of this one are
// known; a sequence that they end has then taken part once for nothing.
//
// A finished sequence's slot is filled before the next step. The samples of a question share its
// prompt's pages and its one prefill. When pages run out, the sequence admitted last gives up its
// pages and is recomputed later; rows do not depend on their batch, so its tokens stay the same.
class Scheduler {
 public:
  Scheduler(Transformer& model, Ops& ops, const Tokenizer& tokenizer,
            const SchedulerOptions& options, EngineStats& stats);

  Status run(RequestSource& source, CompletionSink& sink, const std::atomic<bool>& stop);

 private:
  // A prompt that has been prefilled: its pages, and the logits that follow it.
  struct PromptGroup {
    PromptGroup(KvCache& cache, Ops::Buffer buffer) : pages(cache), logits(std::move(buffer)) {}
    std::shared_ptr<const Prompt> prompt;
    PageTable pages;
    Ops::Buffer logits;  // [vocab_size]
  };

  struct Sequence {
    Sequence(Request r, KvCache& cache, int context_length)
        : request(std::move(r)), pages(cache, most_positions(context_length)) {
      const int most_tokens = most_positions(context_length) - prompt_tokens();
      tokens.reserve(static_cast<size_t>(std::max(0, most_tokens)));
    }
    Request request;
    std::shared_ptr<PromptGroup> group;  // while active
    PageTable pages;
    std::vector<int32_t> tokens;
    int drawing = 0;                    // tokens that are being drawn, after those
    int draw_row = 0;                   // of the last of them, in its step
    std::string text;                   // bytes so far, kept only when there are stop strings
    bool thinks = false;                // the text opened a thought,
    std::optional<size_t> thought_end;  // and closed one here
    double logprob = 0;
    std::optional<FinishReason> finish;
    std::string error;
    size_t text_end = std::string::npos;  // where a stop string began

    int most_positions(int context_length) const {
      const int64_t asked = int64_t{prompt_tokens()} + request.sampling->max_tokens;
      return static_cast<int>(std::min<int64_t>(context_length, asked));
    }
    int prompt_tokens() const { return static_cast<int>(request.prompt->token_ids.size()); }
    int known_tokens() const { return static_cast<int>(tokens.size()) + drawing; }
    // Positions whose keys and values must be in the cache before the next step's own.
    int cached_tokens() const { return prompt_tokens() + known_tokens() - 1; }
  };
  using SequencePtr = std::unique_ptr<Sequence>;

  Status run_steps(RequestSource& source, CompletionSink& sink, const std::atomic<bool>& stop);
  Status admit(RequestSource& source, CompletionSink& sink, const std::atomic<bool>& stop);
  bool somebody_waits(RequestSource& source);
  void end_cancelled();
  SequencePtr next_sequence(RequestSource& source);
  // Pages that starting the sequence takes, with its prompt's unless that is in the cache.
  int pages_to_start(const Sequence& sequence, bool prompt_cached) const;
  bool has_room_for(const Sequence& sequence) const;
  // Gives the sequence its pages and everything they must hold; false when pages run out.
  bool start(Sequence& sequence);
  std::shared_ptr<PromptGroup> prefill(const std::shared_ptr<const Prompt>& prompt);
  void run_rows(std::span<const int32_t> tokens, int first_position, const PageTable& pages,
                float* last_logits);
  // Makes room for one more position in every active sequence, preempting from the back; false when
  // steps in flight must be finished first.
  bool reserve_step();
  bool takes_part(const Sequence& sequence) const;
  bool drop_idle_prompt();
  void start_step();
  void finish_step();
  void finish_steps();
  void accept_token(Sequence& sequence, const SampledToken& sampled);
  void find_stop_string(Sequence& sequence, size_t new_bytes);
  void report_active();
  Status deliver_finished(CompletionSink& sink);
  Status deliver(Sequence& sequence, CompletionSink& sink);
  static SampleRow sample_row(const Sequence& sequence);

  Transformer& model_;
  Ops& ops_;
  const Tokenizer& tokenizer_;
  SchedulerOptions options_;
  EngineStats& stats_;
  KvCache cache_;
  std::vector<SequencePtr> active_;  // in order of admission
  size_t reported_active_ = 0;
  std::deque<SequencePtr> preempted_;    // and the one that is next
  std::shared_ptr<PromptGroup> recent_;  // kept for the next sample, even when nobody runs on it
  std::map<const Prompt*, std::weak_ptr<PromptGroup>> groups_;
  // Those that have been asked for and not collected, oldest first: the sequence of each row, or
  // null if it has ended.
  std::vector<Sequence*> steps_[2];
  int steps_in_flight_ = 0;
  Ops::Buffer logits_;  // [batch_size, vocab_size]
  // Of one step; kept so that a step allocates nothing.
  std::vector<BatchRow> rows_;
  std::vector<int> wanted_;
  std::vector<SampleRow> sample_rows_;
  std::vector<SampledToken> sampled_;
};

}  // namespace assay
