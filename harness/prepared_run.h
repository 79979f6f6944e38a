// A run before it samples: checked, loaded, its prompts rendered, its folder opened.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "harness/base/json.h"
#include "harness/base/result.h"
#include "harness/job.h"
#include "harness/model.h"
#include "harness/options.h"
#include "results/store.h"

namespace assay {

// Everything that a run needs, checked and loaded.
struct PreparedRun {
  std::vector<Task> tasks;
  std::unique_ptr<ModelUnderTest> model;
  JobSource::Prompts prompts;
  std::vector<StoredItem> items;
  OrderedJson manifest;
};

Result<PreparedRun> prepare_run(const RunOptions& options);

// runs/<model>-<tasks>-<fingerprint>: the same arguments find the same folder again.
std::string default_folder(const PreparedRun& run);

// Opens the run's folder, or finds that another run is in it.
Result<RunStore> open_run_store(const std::string& folder, const PreparedRun& run);

}  // namespace assay
