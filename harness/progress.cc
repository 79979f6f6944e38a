#include "harness/progress.h"

#include <fmt/format.h>
#include <unistd.h>

#include <chrono>
#include <cstdio>

#include "harness/base/clock.h"
#include "harness/base/text.h"

namespace assay {

Progress::Progress(int64_t total, int64_t present, const EngineStats& engine)
    : total_(total),
      present_(present),
      engine_(engine),
      terminal_(::isatty(STDERR_FILENO) != 0),
      started_s_(monotonic_s()),
      tokens_before_(engine.generated_tokens),
      printer_([this] { print_loop(); }) {}

Progress::~Progress() {
  {
    const std::lock_guard lock(mutex_);
    ended_ = true;
  }
  wake_.notify_all();
  printer_.join();
}

void Progress::add(const SampleRecord& record) {
  const Correctness correctness = record.verdict.correctness;
  scored_ += correctness != Correctness::kUnscored;
  correct_ += correctness == Correctness::kCorrect;
  finished_tokens_ += record.completion.completion_tokens();
  ++done_;
}

std::string Progress::line() const {
  const int64_t done = done_, all_done = present_ + done;
  const double elapsed_s = std::max(1e-3, monotonic_s() - started_s_);
  const auto generated = static_cast<double>(engine_.generated_tokens - tokens_before_);
  const double rate = generated / elapsed_s;
  std::string text;
  if (terminal_) {
    constexpr int kWidth = 24;
    const auto filled = static_cast<size_t>(kWidth * all_done / std::max<int64_t>(1, total_));
    text += "[" + std::string(filled, '#') + std::string(kWidth - filled, '.') + "] ";
  }
  text += fmt::format("{}/{} samples · {} tokens · {:.0f} tokens/s", with_commas(all_done),
                      with_commas(total_), with_commas(engine_.generated_tokens - tokens_before_),
                      rate);
  // Tokens, not samples: short answers finish first, so counting samples promises too much.
  const auto active = static_cast<double>(engine_.active_sequences);
  constexpr int64_t kEnoughToTell = 8;
  if (rate > 0 && done >= kEnoughToTell) {
    const double finished_mean =
        done > 0 ? static_cast<double>(finished_tokens_) / static_cast<double>(done) : 0;
    const double started_mean = generated / (static_cast<double>(done) + active);
    const double mean = std::max(finished_mean, started_mean);
    const double expected = mean * static_cast<double>(total_ - present_);
    text += fmt::format(" · ETA {}", format_duration(std::max(0.0, expected - generated) / rate));
  }
  if (scored_ > 0) {
    text += fmt::format(" · pass@1 {:.1f} so far",
                        100.0 * static_cast<double>(correct_) / static_cast<double>(scored_));
  }
  return text;
}

void Progress::print_loop() {
  const auto interval =
      terminal_ ? std::chrono::milliseconds(200) : std::chrono::milliseconds(10'000);
  std::unique_lock lock(mutex_);
  while (!wake_.wait_for(lock, interval, [this] { return ended_; })) {
    if (terminal_) {
      fmt::print(stderr, "\r\x1b[K{}", line());
      std::fflush(stderr);
    } else {
      fmt::print(stderr, "assay: {}\n", line());
    }
  }
  if (terminal_) fmt::print(stderr, "\r\x1b[K");
  fmt::print(stderr, "assay: {}\n", line());
}

}  // namespace assay
