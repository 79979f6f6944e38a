#include "harness/serve/board.h"

#include <algorithm>

namespace assay {

void ServedSample::on_token(int32_t token, double logprob) {
  if (!keep_tokens_) return;
  {
    const std::lock_guard lock(mutex_);
    tokens_.push_back({token, logprob});
  }
  on_news_();
}

void ServedSample::finish(Completion completion) {
  {
    const std::lock_guard lock(mutex_);
    if (completion_) return;
    completion_ = std::move(completion);
  }
  on_news_();
}

std::vector<ServedSample::Token> ServedSample::take_tokens() {
  const std::lock_guard lock(mutex_);
  return std::exchange(tokens_, {});
}

bool ServedSample::finished() const {
  const std::lock_guard lock(mutex_);
  return completion_.has_value();
}

bool RequestBoard::put(std::vector<Entry> entries) {
  const std::lock_guard lock(mutex_);
  if (closed_ || waiting_.size() + entries.size() > most_waiting_) return false;
  for (Entry& entry : entries) {
    Request& request = entry.request;
    request.id.suite = "serve";
    request.id.item_id = std::to_string(++count_);
    request.watch = entry.sample;
    under_way_[request.id.item_id] = std::move(entry.sample);
    waiting_.push_back(std::move(request));
  }
  news_.notify_all();
  return true;
}

std::shared_ptr<const Prompt> RequestBoard::shared(Prompt prompt) {
  const std::lock_guard lock(mutex_);
  auto& known = prompts_[{prompt.text, prompt.token_ids}];
  if (auto there = known.lock()) return there;
  const auto made = std::make_shared<const Prompt>(std::move(prompt));
  known = made;
  std::erase_if(prompts_, [](const auto& entry) { return entry.second.expired(); });
  return made;
}

void RequestBoard::close() {
  const std::lock_guard lock(mutex_);
  closed_ = true;
  news_.notify_all();
}

void RequestBoard::fail_all(const std::string& error) {
  std::map<std::string, std::shared_ptr<ServedSample>> left;
  {
    const std::lock_guard lock(mutex_);
    closed_ = true;
    waiting_.clear();
    left.swap(under_way_);
  }
  Completion completion;
  completion.finish_reason = FinishReason::kError;
  completion.error = error;
  for (const auto& [id, sample] : left) sample->finish(completion);
}

size_t RequestBoard::waiting() const {
  const std::lock_guard lock(mutex_);
  return waiting_.size();
}

std::optional<Request> RequestBoard::next() {
  const std::lock_guard lock(mutex_);
  while (!waiting_.empty() && !closed_) {
    Request request = std::move(waiting_.front());
    waiting_.pop_front();
    if (!request.watch->cancelled()) return request;
    under_way_.erase(request.id.item_id);
  }
  return std::nullopt;
}

bool RequestBoard::ended() {
  const std::lock_guard lock(mutex_);
  return closed_;
}

void RequestBoard::wait() {
  std::unique_lock lock(mutex_);
  news_.wait_for(lock, std::chrono::milliseconds(100),
                 [this] { return closed_ || !waiting_.empty(); });
}

Status RequestBoard::accept(Completion completion) {
  std::shared_ptr<ServedSample> sample;
  {
    const std::lock_guard lock(mutex_);
    const auto found = under_way_.find(completion.id.item_id);
    if (found == under_way_.end()) return {};
    sample = std::move(found->second);
    under_way_.erase(found);
  }
  sample->finish(std::move(completion));
  return {};
}

}  // namespace assay
