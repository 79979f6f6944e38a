// A model behind a URL as the model of a run.
#pragma once

#include <memory>
#include <string>

#include "harness/base/result.h"
#include "harness/model.h"
#include "harness/prompt.h"

namespace assay {

// "http://…" or "https://…", also several by commas.
bool is_url(const std::string& name);

// "http://host:8000/v1#name", several such by commas: servers of the same model that share the
// work. Without "#name" the only model that the server has. Asks each server for its models, so one
// that does not answer is an error at once. With --template-of prompts are rendered here and go to
// /completions, as tokens where the kind of server takes them; else messages go to
// /chat/completions and the server's template makes the prompt.
Result<std::unique_ptr<ModelUnderTest>> open_remote_model(const RunOptions& options,
                                                          Thinking thinking);

}  // namespace assay
