// The flags that say how suites are sampled, shared by the commands that do so.
#pragma once

#include <CLI/App.hpp>
#include <string>

#include "harness/base/result.h"
#include "harness/options.h"

namespace assay {

// All but --model, --output-dir, --dry-run and --config.
void add_sampling_flags(CLI::App& command, RunOptions& options);

// What the in-tree engine is made with; add_sampling_flags() adds them too.
void add_engine_flags(CLI::App& command, RunOptions& options);

// What --data is where nobody says: the folder that `assay fetch` fills, if it is there.
std::string default_data_folder();

// --sandbox and what belongs to it; add_sampling_flags() adds them too.
void add_sandbox_flags(CLI::App& command, RunOptions& options);
// Which questions and tests of a suite: also of `assay score`.
void add_question_flags(CLI::App& command, RunOptions& options);
// Confines programs as the options say, before any runs.
Status use_sandbox(const RunOptions& options);

}  // namespace assay
