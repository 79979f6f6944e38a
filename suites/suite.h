// A suite is pure data: one JSON file beside this header that says where the questions are, how
// they are asked, how the answers are scored and what others have published.
//
// {
//   "name": "math500",                     file name without .json
//   "version": 1,                          raised when a change can move scores
//   "title": "MATH-500", "description": "…",
//   "data": {                              or a list of such: the first whose files are there
//     "file": "math500/test.jsonl",        under --data; with "in_tree": true under datasets/
//     "partial": true,                     not all of the official questions
//     "groups": ["a", …],                  "file" then holds {group}, and each has a file
//     "releases": {"v1": "", "v2": "2"},   "file" then holds {release}, and each adds a file
//     "release": "v2",                     the suite's; --release takes another
//     "format": "jsonl",                   jsonl, json, csv
//     "rows": "examples",                  json: the key of the list; "inner": a list in each row
//     "ids": "ids.json",                   a JSON list of the rows' ids, in a file of its own
//     "id": "unique_id",                   field names; without "id" the row's number. "a/0/b" is
//     "group": "category",                 a field within fields and lists
//     "gold": "answer",                    "gold_is": text, last_box, index, first (of the options)
//     "options": ["choices"],              one field with a list, or one field an option
//     "shuffle_options": true,             in an order by item and sample index
//     "fields": ["problem"],               what the prompt and the scorer use
//     "examples": {"file": …, "after": …} or {"file": …, "key": …, "of": …, "text": …, "rewrite":
//                  [{"field", "pattern", "replacement"}]}    see harness/base/data_spec.h
//     "joins": [{"field", "file", "key", "value", "rows", "optional"}],  fields from another file
//     "where": {"category": "…"},          only such rows
//     "date": "contest_date",              the field that --from and --to look at
//     "tests": "livecodebench"             the record's tests become the field "tests"; or
//                                          "assertions"
//   },
//   "prompt": {
//     "user": "{{problem}}\n…",            {{field}} is replaced; {{options}}, {{examples}} too
//     "option": "{letter}. {text}",        how an option is written; {number} counts from 1
//     "system": null,                      optional
//     "follow_up": "{{turns/1}}",          a second turn, an item "ID#2" of its own
//     "think": true                        the response is made to begin with "<think>\n"
//   },
//   "sampling": {"temperature": 0.6, "top_p": 0.95, "max_tokens": 32768, "num_samples": 64, …},
//   "scorer": "boxed",
//   "judge": {…},                          how a judge is asked; see suites/judge.h
//   "metrics": ["pass@1", "pass@k", "cons@k", "macro", "normalised"],
//   "measures": [{"name", "of", "per", "unit", "method", "population"}],
//                                          see harness/base/measure.h
//   "chance": 0.1 or {"group": 0.5, …}     what guessing gets; "normalised" needs it
// }
//
// A composite has "components" in place of data, prompt, sampling, scorer, metrics:
//   "components": [{"suite": "math500", "weight": 0.5}, …]
// and what another command computes has "command": "assay rate …".
#pragma once

#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "harness/base/data_spec.h"
#include "harness/base/measure.h"
#include "harness/base/nouns.h"
#include "harness/base/result.h"
#include "suites/judge.h"

namespace assay {

struct Component {
  std::string suite;
  double weight = 0;
};

struct Suite {
  std::string name, title, description;
  int version = 1;
  std::vector<DataSpec> data;  // alternatives; the first stands for the suite
  std::string user_prompt, follow_up_prompt, system_prompt, option_format;
  bool think = false;
  SamplingParams sampling;
  int num_samples = 1;
  std::string scorer;
  std::vector<std::string> metrics;
  std::vector<Measure> measures;
  std::map<std::string, double> chance;  // by group; "" for all
  std::optional<JudgeSpec> judge;
  std::vector<Component> components;  // of a composite; empty: a suite of questions
  std::string command;                // that computes it; empty: `assay run` does
  std::string sha256;                 // of the JSON file
};

// Reads one suite file. An unknown key, a missing one or one of the wrong type is an error that
// names file and key.
Result<Suite> load_suite(const std::string& path);
// The same of a file's text.
Result<Suite> parse_suite(std::string_view text, const std::string& path);

// The names of all suites that come with assay, sorted.
Result<std::vector<std::string>> suite_names();
// The suite of that name; an unknown one is an error that lists what there is.
Result<Suite> find_suite(const std::string& name);

// The user's message for one sample of an item: {{field}} replaced, options in the sample's order.
// Of an item whose id ends in "#2" it is the follow-up.
std::string render_user_prompt(const Suite& suite, const Item& item, int sample_index);

// Whether the item is the second turn of another one, whose id is in front of the "#2".
bool is_follow_up(const Item& item);

}  // namespace assay
