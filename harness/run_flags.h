// The flags that say how suites are sampled, shared by the commands that do so.
#pragma once

#include <CLI/App.hpp>

#include "harness/options.h"

namespace assay {

// All but --model, --output-dir, --dry-run and --config.
void add_sampling_flags(CLI::App& command, RunOptions& options);

}  // namespace assay
