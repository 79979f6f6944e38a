// The model of a run, whichever engine runs it: prompts, identity, completions.
#pragma once

#include <memory>
#include <string>

#include "engine/engine.h"
#include "engine/runtime/local_engine.h"
#include "harness/base/json.h"
#include "harness/base/result.h"
#include "harness/options.h"
#include "results/store.h"
#include "suites/suite.h"

namespace assay {

class ModelUnderTest {
 public:
  virtual ~ModelUnderTest() = default;
  // Name for reports.
  virtual std::string name() const = 0;
  // What decides the tokens: hashes of weights, tokenizer, template. Part of the run's manifest.
  virtual OrderedJson identity() const = 0;
  // Its size, for people: parameters, bits_per_weight, file_bytes, weights_bytes and
  // kv_bytes_per_token as they are in memory. Empty where nothing is known.
  virtual OrderedJson facts() const { return OrderedJson::object(); }
  // `history`: what was said before, user and assistant in turns.
  virtual Result<Prompt> prompt(const Suite& suite, const Item& item, int sample_index,
                                const std::vector<std::string>& history) const = 0;
  // What was learned while sampling, such as a server's fingerprint; part of the environment.
  virtual OrderedJson learned() const { return OrderedJson::object(); }
  virtual Engine& engine() = 0;
  // The in-tree engine, if it is one.
  virtual LocalEngine* local_engine() { return nullptr; }
  virtual const LocalModel* local_model() const { return nullptr; }
};

// Whether what a --model or --judge flag names is there, without opening it; `flag` for the
// message.
Status model_is_there(const std::string& flag, const std::string& name);

// Opens what --model names: a folder, a .gguf file, "builtin", "replay:RUN",
// "completions:FILE.jsonl".
Result<std::unique_ptr<ModelUnderTest>> open_model(const RunOptions& options);

}  // namespace assay
