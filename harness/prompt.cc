#include "harness/prompt.h"

#include <fmt/format.h>

#include "harness/base/text.h"

namespace assay {

bool knows_thoughts(const LocalModel& model) {
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

Result<Prompt> render_prompt(const LocalModel& model, const Suite& suite, const Item& item,
                             int sample_index, const std::vector<std::string>& history,
                             Thinking thinking) {
  const bool think = suite.think && (thinking == Thinking::kOn ||
                                     (thinking == Thinking::kAuto && knows_thoughts(model)));
  const Tokenizer& tokenizer = model.tokenizer;
  const std::string bos = tokenizer.token_text(tokenizer.bos());
  const std::string user = render_user_prompt(suite, item, sample_index);
  Prompt prompt;
  bool add_bos = false;
  if (model.chat_template) {
    const std::vector<ChatMessage> messages = chat_messages(suite, user, history);
    ChatOptions options;
    options.enable_thinking = think;
    options.bos_token = bos;
    options.eos_token = tokenizer.token_text(tokenizer.eos());
    ASSAY_TRY(prompt.text, model.chat_template->render(messages, options));
  } else {
    if (!suite.system_prompt.empty()) prompt.text = suite.system_prompt + "\n\n";
    for (const std::string& turn : history) prompt.text += turn + "\n\n";
    prompt.text += user + "\n";
    add_bos = tokenizer.adds_bos() && tokenizer.bos().has_value();
  }
  prompt.opens_thought = trim(prompt.text).ends_with("<think>");
  if (think && !prompt.opens_thought) {
    prompt.text += "<think>\n";
    prompt.opens_thought = true;
  }
  if (add_bos && !prompt.text.starts_with(bos)) prompt.token_ids.push_back(*tokenizer.bos());
  const std::vector<int32_t> ids = tokenizer.encode(prompt.text, true);
  prompt.token_ids.insert(prompt.token_ids.end(), ids.begin(), ids.end());
  return prompt;
}

}  // namespace assay
