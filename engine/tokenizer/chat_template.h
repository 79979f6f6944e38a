// Prompts from conversations, by the model's own chat template.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "harness/base/json.h"
#include "harness/base/result.h"

namespace assay {

struct ChatMessage {
  std::string role;  // "system", "user", "assistant"
  std::string content;
};

struct ChatOptions {
  bool add_generation_prompt = true;
  bool enable_thinking = true;  // what templates that can suppress a thought ask for
  std::string bos_token, eos_token;
};

class ChatTemplate {
 public:
  // Parses the template; `place` names it in errors.
  static Result<ChatTemplate> parse(const std::string& source, const std::string& place);
  ChatTemplate(ChatTemplate&&) noexcept;
  ChatTemplate& operator=(ChatTemplate&&) noexcept;
  ~ChatTemplate();

  // The prompt's text. Thread-safe.
  Result<std::string> render(const std::vector<ChatMessage>& messages,
                             const ChatOptions& options) const;
  // The same with any JSON for messages (tool calls and so on).
  Result<std::string> render(const OrderedJson& messages, const ChatOptions& options) const;

 private:
  struct Parsed;
  ChatTemplate();

  std::string place_;
  std::unique_ptr<Parsed> parsed_;
};

}  // namespace assay
