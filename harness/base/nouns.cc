#include "harness/base/nouns.h"

namespace assay {

const char* to_string(FinishReason reason) {
  switch (reason) {
    case FinishReason::kStop:
      return "stop";
    case FinishReason::kLength:
      return "length";
    case FinishReason::kError:
      break;
  }
  return "error";
}

const char* to_string(Correctness correctness) {
  switch (correctness) {
    case Correctness::kCorrect:
      return "correct";
    case Correctness::kIncorrect:
      return "incorrect";
    case Correctness::kUnscored:
      break;
  }
  return "unscored";
}

bool from_string(const std::string& text, FinishReason* reason) {
  for (const auto value : {FinishReason::kStop, FinishReason::kLength, FinishReason::kError}) {
    if (text == to_string(value)) {
      *reason = value;
      return true;
    }
  }
  return false;
}

bool from_string(const std::string& text, Correctness* correctness) {
  for (const auto value :
       {Correctness::kCorrect, Correctness::kIncorrect, Correctness::kUnscored}) {
    if (text == to_string(value)) {
      *correctness = value;
      return true;
    }
  }
  return false;
}

}  // namespace assay
