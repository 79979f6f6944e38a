// The manifest of a run: what decides its results (identity) and where it ran (environment).
#pragma once

#include <string>
#include <vector>

#include "harness/base/json.h"
#include "harness/job.h"
#include "harness/model.h"
#include "harness/options.h"

namespace assay {

OrderedJson make_manifest(const RunOptions& options, const std::vector<Task>& tasks,
                          const std::vector<Suite>& composites, const ModelUnderTest& model);

// Lines "tasks/0/temperature: 0.6 there, 0.7 now" for what makes two identities different runs;
// empty when a run can go on. A model's name may change, its hashes may not.
std::vector<std::string> identity_differences(const OrderedJson& stored, const OrderedJson& now);

// Eight hex digits of the identity, for folder names.
std::string identity_fingerprint(const OrderedJson& identity);

}  // namespace assay
