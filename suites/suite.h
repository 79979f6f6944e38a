// A suite is pure data: one JSON file beside this header that says where the questions are, how
// they are asked, how the answers are scored and what others have published.
//
// {
//   "name": "math500",                     file name without .json
//   "version": 1,                          raised when a change can move scores
//   "title": "MATH-500", "description": "…",
//   "data": {
//     "file": "math500/test.jsonl",        under --data; with "in_tree": true under datasets/
//     "format": "jsonl",
//     "id": "unique_id",                   field names of the data set; without "id" the line
//     number "gold": "answer", "fields": ["problem"]                what the prompt uses
//   },
//   "prompt": {
//     "user": "{{problem}}\n…",            {{field}} is replaced
//     "system": null,                      optional
//     "think": true                        the response is made to begin with "<think>\n"
//   },
//   "sampling": {"temperature": 0.6, "top_p": 0.95, "max_tokens": 32768, "num_samples": 64, …},
//   "scorer": "boxed",
//   "metrics": ["pass@1", "pass@k", "cons@k"],
//   "published": [{"model": "…", "metric": "pass@1", "value": 83.9, "source": "…"}]
// }
#pragma once

#include <map>
#include <string>
#include <vector>

#include "harness/base/nouns.h"
#include "harness/base/result.h"

namespace assay {

struct SuiteData {
  std::string file;
  bool in_tree = false;
  std::string format;
  std::string id_field;  // empty: the line number
  std::string gold_field;
  std::vector<std::string> fields;
};

struct PublishedScore {
  std::string model, metric, source;
  double value = 0;  // percent
};

struct Suite {
  std::string name, title, description;
  int version = 1;
  SuiteData data;
  std::string user_prompt, system_prompt;
  bool think = false;
  SamplingParams sampling;
  int num_samples = 1;
  std::string scorer;
  std::vector<std::string> metrics;
  std::vector<PublishedScore> published;
  std::string sha256;  // of the JSON file
};

// Reads one suite file. An unknown key, a missing one or one of the wrong type is an error that
// names file and key.
Result<Suite> load_suite(const std::string& path);

// The names of all suites that come with assay, sorted.
Result<std::vector<std::string>> suite_names();
// The suite of that name; an unknown one is an error that lists what there is.
Result<Suite> find_suite(const std::string& name);

// The user's message of an item: {{field}} replaced.
std::string render_user_prompt(const Suite& suite, const Item& item);

}  // namespace assay
