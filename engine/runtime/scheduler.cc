#include "engine/runtime/scheduler.h"

#include <fmt/format.h>

#include <algorithm>

#include "harness/base/check.h"
#include "harness/base/text.h"

namespace assay {
namespace {

constexpr int kPrefillRows = 128;  // rows of a prompt in one forward pass

}  // namespace

Scheduler::Scheduler(Transformer& model, Ops& ops, const Tokenizer& tokenizer,
                     const SchedulerOptions& options, EngineStats& stats)
    : model_(model),
      ops_(ops),
      tokenizer_(tokenizer),
      options_(options),
      stats_(stats),
      cache_(ops, model.page_bytes(), options.max_pages),
      logits_(ops.allocate(static_cast<size_t>(options.batch_size) * model.config().vocab_size)) {}

Status Scheduler::run(RequestSource& source, CompletionSink& sink, const std::atomic<bool>& stop) {
  const Status status = run_steps(source, sink, stop);
  finish_steps();
  active_.clear();
  report_active();
  preempted_.clear();
  recent_.reset();
  groups_.clear();
  return status;
}

Status Scheduler::run_steps(RequestSource& source, CompletionSink& sink,
                            const std::atomic<bool>& stop) {
  while (!stop) {
    if (somebody_waits(source)) {  // a new sequence's first token is sampled at once
      finish_steps();
      ASSAY_TRY_STATUS(deliver_finished(sink));
      ASSAY_TRY_STATUS(admit(source, sink, stop));
    }
    if (stop) break;
    if (active_.empty()) {
      CHECK(preempted_.empty());
      if (source.ended()) break;
      source.wait();
      continue;
    }
    end_cancelled();
    if (reserve_step()) {
      start_step();
      if (!ops_.runs_ahead()) finish_steps();
    } else {
      finish_steps();
    }
    ASSAY_TRY_STATUS(deliver_finished(sink));
  }
  return {};
}

// Samples that nobody wants any more give up their slots.
void Scheduler::end_cancelled() {
  for (const SequencePtr& sequence : active_) {
    const SampleWatch* watch = sequence->request.watch.get();
    if (watch == nullptr || !watch->cancelled()) continue;
    finish_steps();  // they may hold the sequence
    if (sequence->finish) continue;
    sequence->finish = FinishReason::kError;
    sequence->error = "cancelled";
  }
}

// Whether there is a slot and somebody to take it.
bool Scheduler::somebody_waits(RequestSource& source) {
  if (static_cast<int>(active_.size()) >= options_.batch_size) return false;
  if (preempted_.empty()) {
    if (SequencePtr sequence = next_sequence(source)) preempted_.push_front(std::move(sequence));
  }
  return !preempted_.empty();
}

Scheduler::SequencePtr Scheduler::next_sequence(RequestSource& source) {
  if (!preempted_.empty()) {
    SequencePtr sequence = std::move(preempted_.front());
    preempted_.pop_front();
    return sequence;
  }
  std::optional<Request> request = source.next();
  if (!request) return nullptr;
  return std::make_unique<Sequence>(std::move(*request), cache_, model_.config().context_length);
}

Status Scheduler::admit(RequestSource& source, CompletionSink& sink,
                        const std::atomic<bool>& stop) {
  while (static_cast<int>(active_.size()) < options_.batch_size && !stop) {
    SequencePtr sequence = next_sequence(source);
    if (!sequence) break;
    const int context = model_.config().context_length;
    if (sequence->prompt_tokens() == 0 || sequence->prompt_tokens() >= context) {
      sequence->finish = FinishReason::kError;
      sequence->error = fmt::format("the prompt has {} tokens, the model's context is {}",
                                    sequence->prompt_tokens(), context);
      ASSAY_TRY_STATUS(deliver(*sequence, sink));
      continue;
    }
    if (!has_room_for(*sequence) || !start(*sequence)) {
      if (!active_.empty()) {
        preempted_.push_front(std::move(sequence));
        break;
      }
      // With every page free it either fits or never will.
      if (pages_to_start(*sequence, false) <= cache_.max_pages() && drop_idle_prompt()) {
        preempted_.push_front(std::move(sequence));
        continue;
      }
      sequence->finish = FinishReason::kError;
      sequence->error = fmt::format(
          "the KV cache ({} pages of {} tokens) is too small for this "
          "prompt and what follows it; raise --kv-cache-gib",
          cache_.max_pages(), kPageTokens);
      ASSAY_TRY_STATUS(deliver(*sequence, sink));
      continue;
    }
    if (sequence->tokens.empty()) {
      const SampleRow row = sample_row(*sequence);
      SampledToken sampled;
      ops_.sample(sequence->group->logits.get(), model_.config().vocab_size, std::span(&row, 1));
      ops_.collect(std::span(&sampled, 1));
      ASSAY_TRY_STATUS(ops_.status());
      accept_token(*sequence, sampled);
    }
    active_.push_back(std::move(sequence));
    report_active();
    ASSAY_TRY_STATUS(deliver_finished(sink));
  }
  return {};
}

int Scheduler::pages_to_start(const Sequence& sequence, bool prompt_cached) const {
  const int prompt_tokens = sequence.prompt_tokens();
  const int total = pages_for(prompt_tokens + static_cast<int>(sequence.tokens.size()) + 1);
  const int own = total - prompt_tokens / kPageTokens;
  return own + (prompt_cached ? 0 : pages_for(prompt_tokens));
}

// Beside its own pages, a new sequence must leave one for each that is running.
bool Scheduler::has_room_for(const Sequence& sequence) const {
  if (active_.empty()) return true;
  const auto group = groups_.find(sequence.request.prompt.get());
  const bool cached = group != groups_.end() && !group->second.expired();
  return cache_.free_pages() >= pages_to_start(sequence, cached) + static_cast<int>(active_.size());
}

bool Scheduler::start(Sequence& sequence) {
  ops_.reserve(sequence.most_positions(model_.config().context_length));
  sequence.group = prefill(sequence.request.prompt);
  if (!sequence.group) return false;
  const int prompt_tokens = sequence.prompt_tokens();
  const int known = static_cast<int>(sequence.tokens.size());
  bool ok = sequence.pages.share_prefix(sequence.group->pages, prompt_tokens);
  if (known > 1) ok = ok && sequence.pages.grow_to(prompt_tokens + known - 1);
  if (!ok) {
    sequence.pages.clear();
    sequence.group.reset();
    return false;
  }
  if (known > 1) {  // it was preempted: bring back what its pages held
    run_rows(std::span(sequence.tokens).first(known - 1), prompt_tokens, sequence.pages, nullptr);
    stats_.recomputed_tokens += known - 1;
  }
  return true;
}

std::shared_ptr<Scheduler::PromptGroup> Scheduler::prefill(
    const std::shared_ptr<const Prompt>& prompt) {
  if (auto group = groups_[prompt.get()].lock()) {
    recent_ = group;
    return group;
  }
  auto group = std::make_shared<PromptGroup>(
      cache_, ops_.allocate(static_cast<size_t>(model_.config().vocab_size)));
  group->prompt = prompt;  // keeps the map's key alive
  const int tokens = static_cast<int>(prompt->token_ids.size());
  while (!group->pages.grow_to(tokens)) {
    if (!drop_idle_prompt()) return nullptr;
  }
  run_rows(prompt->token_ids, 0, group->pages, group->logits.get());
  stats_.prefill_tokens += tokens;
  std::erase_if(groups_, [](const auto& entry) { return entry.second.expired(); });
  groups_[prompt.get()] = group;
  recent_ = group;
  return group;
}

void Scheduler::run_rows(std::span<const int32_t> tokens, int first_position,
                         const PageTable& pages, float* last_logits) {
  std::vector<BatchRow> rows;
  for (size_t start = 0; start < tokens.size(); start += kPrefillRows) {
    const auto chunk = tokens.subspan(start, std::min<size_t>(kPrefillRows, tokens.size() - start));
    rows.clear();
    for (size_t i = 0; i < chunk.size(); ++i) {
      rows.push_back({chunk[i], first_position + static_cast<int32_t>(start + i), pages.data()});
    }
    const int last = static_cast<int>(rows.size()) - 1;
    const bool wanted = last_logits != nullptr && start + chunk.size() == tokens.size();
    model_.forward(rows, wanted ? std::span(&last, 1) : std::span<const int>(), last_logits);
  }
}

// The prompt that is kept only in case another sample of it comes.
bool Scheduler::drop_idle_prompt() {
  if (!recent_ || recent_.use_count() > 1) return false;
  recent_.reset();
  return true;
}

bool Scheduler::reserve_step() {
  for (size_t i = 0; i < active_.size(); ++i) {
    Sequence& sequence = *active_[i];
    while (takes_part(sequence) && !sequence.pages.grow_to(sequence.cached_tokens() + 1)) {
      if (steps_in_flight_ > 0) return false;  // who has finished there gives pages back
      if (drop_idle_prompt()) continue;
      if (active_.size() == 1) {
        sequence.finish = FinishReason::kError;
        sequence.error = fmt::format(
            "the KV cache ({} pages of {} tokens) cannot hold this "
            "sequence alone; raise --kv-cache-gib",
            cache_.max_pages(), kPageTokens);
        break;
      }
      ++stats_.preemptions;
      SequencePtr youngest = std::move(active_.back());
      active_.pop_back();
      youngest->pages.clear();
      youngest->group.reset();
      const bool itself = youngest.get() == &sequence;
      preempted_.push_front(std::move(youngest));
      if (itself) return true;
    }
  }
  return true;
}

// Whether a sequence goes on when the tokens that are being drawn for it are there, unless one of
// them ends it.
bool Scheduler::takes_part(const Sequence& sequence) const {
  const int count = sequence.known_tokens();
  return !sequence.finish && count < sequence.request.sampling->max_tokens &&
         sequence.prompt_tokens() + count < model_.config().context_length;
}

// Asks for the next step; finishes the one before it only then, so that the device has work while
// the host looks at tokens.
void Scheduler::start_step() {
  std::vector<Sequence*>& step = steps_[steps_in_flight_];
  step.clear();
  rows_.clear();
  wanted_.clear();
  sample_rows_.clear();
  for (const SequencePtr& sequence : active_) {
    if (!takes_part(*sequence)) continue;
    const int row = static_cast<int>(rows_.size());
    const int32_t token =
        sequence->drawing > 0 ? token_of_draw(sequence->draw_row) : sequence->tokens.back();
    wanted_.push_back(row);
    rows_.push_back({token, sequence->cached_tokens(), sequence->pages.data()});
    sample_rows_.push_back(sample_row(*sequence));
    step.push_back(sequence.get());
  }
  if (rows_.empty()) return finish_steps();
  model_.forward(rows_, wanted_, logits_.get());
  ops_.sample(logits_.get(), model_.config().vocab_size, sample_rows_);
  ++stats_.steps;
  for (size_t row = 0; row < step.size(); ++row) {
    ++step[row]->drawing;
    step[row]->draw_row = static_cast<int>(row);
  }
  if (++steps_in_flight_ == 2) finish_step();
}

void Scheduler::finish_step() {
  std::vector<Sequence*>& step = steps_[0];
  sampled_.resize(step.size());
  ops_.collect(sampled_);
  for (size_t row = 0; row < step.size(); ++row) {
    Sequence* sequence = step[row];
    if (sequence == nullptr) continue;
    --sequence->drawing;
    accept_token(*sequence, sampled_[row]);
    if (!sequence->finish) continue;
    // What the step after this one draws for it is nothing to anybody.
    for (Sequence*& later : steps_[1]) later = later == sequence ? nullptr : later;
  }
  step.clear();
  std::swap(steps_[0], steps_[1]);
  --steps_in_flight_;
}

void Scheduler::finish_steps() {
  while (steps_in_flight_ > 0) finish_step();
}

SampleRow Scheduler::sample_row(const Sequence& sequence) {
  const Request& request = sequence.request;
  return {request.sampling.get(), request.key, static_cast<uint32_t>(sequence.known_tokens()),
          static_cast<uint32_t>(request.id.sample_index)};
}

void Scheduler::accept_token(Sequence& sequence, const SampledToken& sampled) {
  if (sampled.token < 0) {
    sequence.finish = FinishReason::kError;
    sequence.error = "the model computed values that are not finite; its file may be damaged";
    return;
  }
  sequence.tokens.push_back(sampled.token);
  sequence.logprob += sampled.logprob;
  ++stats_.generated_tokens;
  if (sequence.request.watch) sequence.request.watch->on_token(sampled.token, sampled.logprob);
  const SamplingParams& sampling = *sequence.request.sampling;
  if (tokenizer_.is_stop_token(sampled.token)) {
    sequence.finish = FinishReason::kStop;
    return;
  }
  if (!sampling.stop.empty()) {
    const size_t before = sequence.text.size();
    tokenizer_.append_bytes(sampled.token, sequence.text);
    find_stop_string(sequence, sequence.text.size() - before);
    if (sequence.finish) return;
  }
  const int count = static_cast<int>(sequence.tokens.size());
  if (count >= sampling.max_tokens ||
      sequence.prompt_tokens() + count >= model_.config().context_length) {
    sequence.finish = FinishReason::kLength;
  }
}

// A stop string inside the thought is part of the thought.
void Scheduler::find_stop_string(Sequence& sequence, size_t new_bytes) {
  const std::string& text = sequence.text;
  const auto tail = [&](std::string_view word) {
    const size_t length = new_bytes + word.size();
    return text.size() > length ? text.size() - length : 0;
  };
  constexpr std::string_view kOpen = "<think>", kClose = "</think>";
  if (!sequence.thought_end) {
    if (const size_t found = text.find(kClose, tail(kClose)); found != std::string::npos) {
      sequence.thought_end = found;
    } else {
      sequence.thinks = sequence.thinks || sequence.request.prompt->opens_thought ||
                        text.find(kOpen, tail(kOpen)) != std::string::npos;
      if (sequence.thinks) return;
    }
  }
  for (const std::string& stop : sequence.request.sampling->stop) {
    const size_t found = text.find(stop, std::max(sequence.thought_end.value_or(0), tail(stop)));
    if (found != std::string::npos && found < sequence.text_end) {
      sequence.text_end = found;
      sequence.finish = FinishReason::kStop;
    }
  }
}

Status Scheduler::deliver_finished(CompletionSink& sink) {
  // What a device computed after an error is nobody's sample.
  ASSAY_TRY_STATUS(ops_.status());
  for (const SequencePtr& sequence : active_) {
    if (!sequence->finish) continue;
    ASSAY_TRY_STATUS(deliver(*sequence, sink));
  }
  std::erase_if(active_, [](const SequencePtr& sequence) { return sequence->finish.has_value(); });
  report_active();
  return {};
}

// Several schedulers may share the counters.
void Scheduler::report_active() {
  stats_.active_sequences += active_.size() - reported_active_;
  reported_active_ = active_.size();
}

namespace {

int thought_tokens(const Tokenizer& tokenizer, const std::string& text, bool opens_thought,
                   std::span<const int32_t> tokens) {
  if (!opens_thought && text.find("<think>") == std::string::npos) return 0;
  constexpr std::string_view kEnd = "</think>";
  const size_t end = text.rfind(kEnd);
  if (end == std::string::npos) return static_cast<int>(tokens.size());
  std::string bytes;
  size_t count = 0;
  while (count < tokens.size() && bytes.size() < end + kEnd.size()) {
    tokenizer.append_bytes(tokens[count++], bytes);
  }
  return static_cast<int>(count);
}

}  // namespace

Status Scheduler::deliver(Sequence& sequence, CompletionSink& sink) {
  Completion completion;
  completion.id = sequence.request.id;
  completion.finish_reason = *sequence.finish;
  completion.error = sequence.error;
  completion.prompt_tokens = sequence.prompt_tokens();
  completion.opens_thought = sequence.request.prompt->opens_thought;
  completion.logprob = sequence.logprob;
  std::span<const int32_t> visible = sequence.tokens;
  if (!visible.empty() && tokenizer_.is_stop_token(visible.back())) {
    visible = visible.first(visible.size() - 1);
  }
  completion.text = tokenizer_.decode(visible);
  if (sequence.text_end != std::string::npos) {
    completion.text = to_valid_utf8(sequence.text.substr(0, sequence.text_end));
  }
  completion.thought_tokens =
      thought_tokens(tokenizer_, completion.text, completion.opens_thought, sequence.tokens);
  completion.token_ids = std::move(sequence.tokens);
  return sink.accept(std::move(completion));
}

}  // namespace assay
