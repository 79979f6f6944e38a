// Evaluates a parsed template.
#pragma once

#include <string>

#include "engine/tokenizer/jinja/syntax.h"
#include "engine/tokenizer/jinja/value.h"

namespace assay::jinja {

// Renders `block` with the global names in `globals`; namespace, range, raise_exception, dict
// and strftime_now are always there. Work and output are bounded, so that no template can run away.
// Throws TemplateError.
std::string render(const Block& block, const Dict& globals);

}  // namespace assay::jinja
