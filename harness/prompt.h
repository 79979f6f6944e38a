// From a question to the prompt that a model sees.
#pragma once

#include "engine/tokenizer/prompt_format.h"
#include "harness/base/nouns.h"
#include "harness/base/result.h"
#include "suites/suite.h"

namespace assay {

enum class Thinking { kAuto, kOn, kOff };

// Whether the model was made to think: its vocabulary has a </think> token or its template knows
// it.
bool knows_thoughts(const PromptFormat& model);

// The suite's messages: its system prompt, `history` (user, assistant, user, …) and `user`.
std::vector<ChatMessage> chat_messages(const Suite& suite, const std::string& user,
                                       const std::vector<std::string>& history);

// The suite's messages, behind those of `history` (user, assistant, user, …), through the model's
// chat template; a base model without one gets the plain text. A suite that asks for a thought gets
// "<think>\n" appended unless the template has opened one already: kAuto does so for models that
// know thoughts (another would never close one, and so never answer), kOn for all, kOff for none.
// BOS stands once, wherever it comes from.
Result<Prompt> render_prompt(const PromptFormat& model, const Suite& suite, const Item& item,
                             int sample_index, const std::vector<std::string>& history,
                             Thinking thinking);

// A conversation as a server gets it; with `continues_last` the answer goes on from the last
// message. An error where the model has no template, or where the template refuses.
Result<Prompt> render_chat(const PromptFormat& model, std::vector<ChatMessage> messages,
                           bool continues_last, bool enable_thinking);
// A text as it stands, behind BOS where the model wants it.
Prompt encode_prompt(const PromptFormat& model, std::string text);

}  // namespace assay
