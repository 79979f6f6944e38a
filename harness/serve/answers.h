// From a request to the text of its answer: prompts, samples, what of them may be shown.
#pragma once

#include <functional>
#include <memory>
#include <random>
#include <string>
#include <vector>

#include "engine/runtime/local_engine.h"
#include "harness/base/result.h"
#include "harness/serve/board.h"
#include "harness/serve/protocol.h"

namespace assay {

// A choice of an answer that is being made.
struct Making {
  std::shared_ptr<ServedSample> sample;
  ServedChoice choice;  // what has not been sent
  TextStream text;
  std::shared_ptr<const Prompt> prompt;
  std::string echo;
  bool begun = false, done = false;
};

void cancel_all(std::vector<Making>& making);

// Used by one thread at a time.
class AnswerMaker {
 public:
  // `model` and `board` must outlive it.
  AnswerMaker(const LocalModel& model, RequestBoard& board) : model_(model), board_(board) {}

  // Puts the request's samples on the board; `busy`: there is no room for them. An error is the
  // request's. `on_news` is called from the engine's thread.
  Result<std::vector<Making>> begin(const ServeRequest& asked, const std::function<void()>& on_news,
                                    bool* busy);
  // Takes over what is new of a choice; an error is the sample's.
  Status gather(Making& making, bool logprobs) const;
  // Once all are done.
  static Usage usage_of(const std::vector<Making>& making);

 private:
  Result<std::vector<std::shared_ptr<const Prompt>>> prompts_of(const ServeRequest& asked);

  const LocalModel& model_;
  RequestBoard& board_;
  std::mt19937_64 seeds_{std::random_device{}()};
};

}  // namespace assay
