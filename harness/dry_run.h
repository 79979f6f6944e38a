// `assay run --dry-run`: what a job would do, before it is done.
#pragma once

#include <vector>

#include "harness/base/result.h"
#include "harness/job.h"
#include "harness/model.h"
#include "harness/options.h"

namespace assay {

// Prints the first prompt of every task as the model sees it, token counts, and an estimate of
// tokens and time from a few steps that it really makes.
Status print_dry_run(const RunOptions& options, const std::vector<Task>& tasks,
                     ModelUnderTest& model, const JobSource::Prompts& prompts);

}  // namespace assay
