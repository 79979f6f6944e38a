// The worked examples that stand before a question (few-shot).
#pragma once

#include <string>

#include "harness/base/data_spec.h"
#include "harness/base/nouns.h"
#include "harness/base/result.h"

namespace assay {

// The value of {{examples}} for the item, from the text of the examples' file; `path` for messages.
// An item for which there are none is an error.
Result<std::string> examples_for(const ExamplesSpec& spec, const Item& item,
                                 const std::string& text, const std::string& path);

}  // namespace assay
