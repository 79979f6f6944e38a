// `assay score --audit`: the samples whose verdicts a person should look at.
#pragma once

#include <string>

#include "harness/base/nouns.h"
#include "harness/base/result.h"
#include "results/store.h"

namespace assay {

// Why a person should look at the sample; empty if nobody need. The gold at the end of a text from
// which no answer was taken, boxes that disagree, verdicts that could not be decided.
std::string audit_reason(const Item& item, const SampleRecord& record);

// Prints all such samples of a run, and how many of each kind there are.
Status print_audit(RunStore& store);

}  // namespace assay
