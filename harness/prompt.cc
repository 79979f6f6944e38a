#include "harness/prompt.h"

#include <fmt/format.h>

#include "harness/base/text.h"

namespace assay {

bool knows_thoughts(const PromptFormat& model) {
  constexpr const char* kEnd = "</think>";
  return model.tokenizer.chat_template().find(kEnd) != std::string::npos ||
         model.tokenizer.encode(kEnd, true).size() == 1;
}

std::vector<ChatMessage> chat_messages(const Suite& suite, const std::string& user,
                                       const std::vector<std::string>& history) {
  std::vector<ChatMessage> messages;
  if (!suite.system_prompt.empty()) messages.push_back({"system", suite.system_prompt});
  for (size_t i = 0; i < history.size(); ++i) {
    messages.push_back({i % 2 == 0 ? "user" : "assistant", history[i]});
  }
  messages.push_back({"user", user});
  return messages;
}

namespace {

ChatOptions chat_options(const Tokenizer& tokenizer, bool enable_thinking) {
  ChatOptions options;
  options.enable_thinking = enable_thinking;
  options.bos_token = tokenizer.token_text(tokenizer.bos());
  options.eos_token = tokenizer.token_text(tokenizer.eos());
  return options;
}

constexpr std::string_view kOpen = "<think>", kClose = "</think>";

}  // namespace

Prompt encode_prompt(const PromptFormat& model, std::string text) {
  const Tokenizer& tokenizer = model.tokenizer;
  Prompt prompt;
  prompt.text = std::move(text);
  const std::string bos = tokenizer.token_text(tokenizer.bos());
  if (tokenizer.adds_bos() && tokenizer.bos() && !prompt.text.starts_with(bos)) {
    prompt.token_ids.push_back(*tokenizer.bos());
  }
  const std::vector<int32_t> ids = tokenizer.encode(prompt.text, true);
  prompt.token_ids.insert(prompt.token_ids.end(), ids.begin(), ids.end());
  return prompt;
}

Result<Prompt> render_chat(const PromptFormat& model, std::vector<ChatMessage> messages,
                           bool continues_last, bool enable_thinking) {
  if (!model.chat_template) {
    return Error{"the model has no chat template; use /v1/completions"};
  }
  std::string begun;
  if (continues_last) {
    begun = std::move(messages.back().content);
    messages.pop_back();
  }
  const Tokenizer& tokenizer = model.tokenizer;
  Prompt prompt;
  ASSAY_TRY(prompt.text,
            model.chat_template->render(messages, chat_options(tokenizer, enable_thinking)));
  prompt.opens_thought = trim(prompt.text).ends_with(kOpen);
  // A template may have opened the thought that the message begins with.
  if (prompt.opens_thought && begun.starts_with(kOpen)) {
    begun = std::string(trim(std::string_view(begun).substr(kOpen.size())));
  }
  const size_t opened = begun.rfind(kOpen), closed = begun.rfind(kClose);
  if (opened != std::string::npos) prompt.opens_thought = true;
  if (closed != std::string::npos && (opened == std::string::npos || closed > opened)) {
    prompt.opens_thought = false;
  }
  prompt.text += begun;
  prompt.token_ids = tokenizer.encode(prompt.text, true);
  return prompt;
}

Result<Prompt> render_prompt(const PromptFormat& model, const Suite& suite, const Item& item,
                             int sample_index, const std::vector<std::string>& history,
                             Thinking thinking) {
  const bool think = suite.think && (thinking == Thinking::kOn ||
                                     (thinking == Thinking::kAuto && knows_thoughts(model)));
  const Tokenizer& tokenizer = model.tokenizer;
  const std::string user = render_user_prompt(suite, item, sample_index);
  Prompt prompt;
  if (model.chat_template) {
    const std::vector<ChatMessage> messages = chat_messages(suite, user, history);
    ASSAY_TRY(prompt.text, model.chat_template->render(messages, chat_options(tokenizer, think)));
  } else {
    if (!suite.system_prompt.empty()) prompt.text = suite.system_prompt + "\n\n";
    for (const std::string& turn : history) prompt.text += turn + "\n\n";
    prompt.text += user + "\n";
  }
  prompt.opens_thought = trim(prompt.text).ends_with(kOpen);
  if (think && !prompt.opens_thought) {
    prompt.text += "<think>\n";
    prompt.opens_thought = true;
  }
  if (model.chat_template) {  // it writes BOS itself
    prompt.token_ids = tokenizer.encode(prompt.text, true);
  } else {
    prompt.token_ids = encode_prompt(model, prompt.text).token_ids;
  }
  return prompt;
}

}  // namespace assay
