// What the scores need of one sample.
#pragma once

#include <map>
#include <string>

#include "harness/base/nouns.h"

namespace assay {

struct SampleOutcome {
  Correctness correctness = Correctness::kUnscored;
  bool truncated = false;
  bool has_answer = false;
  std::string answer;
  int completion_tokens = 0;
  std::map<std::string, double> values;
  int thought_tokens = 0;
  int sample_index = 0;
  std::string rule;  // of the verdict
};

}  // namespace assay
