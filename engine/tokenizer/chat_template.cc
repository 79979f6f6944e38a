#include "engine/tokenizer/chat_template.h"

#include "engine/tokenizer/jinja/interpreter.h"
#include "engine/tokenizer/jinja/syntax.h"

namespace assay {
namespace {

jinja::Value to_value(const OrderedJson& json) {
  if (json.is_null()) return jinja::None{};
  if (json.is_boolean()) return json.get<bool>();
  if (json.is_number_integer()) return json.get<int64_t>();
  if (json.is_number()) return json.get<double>();
  if (json.is_string()) return json.get<std::string>();
  if (json.is_array()) {
    jinja::List list;
    for (const OrderedJson& item : json) list.push_back(to_value(item));
    return list;
  }
  jinja::Dict dict;
  for (const auto& [key, item] : json.items()) dict.emplace_back(key, to_value(item));
  return dict;
}

}  // namespace

struct ChatTemplate::Parsed {
  jinja::Block block;
};

ChatTemplate::ChatTemplate() : parsed_(std::make_unique<Parsed>()) {}
ChatTemplate::ChatTemplate(ChatTemplate&&) noexcept = default;
ChatTemplate& ChatTemplate::operator=(ChatTemplate&&) noexcept = default;
ChatTemplate::~ChatTemplate() = default;

Result<ChatTemplate> ChatTemplate::parse(const std::string& source, const std::string& place) {
  ChatTemplate result;
  result.place_ = place;
  try {
    result.parsed_->block = jinja::parse(source);
  } catch (const jinja::TemplateError& error) {
    return Error{place + ": chat template, " + error.message};
  }
  return result;
}

Result<std::string> ChatTemplate::render(const OrderedJson& messages,
                                         const ChatOptions& options) const {
  const jinja::Dict globals = {{"messages", to_value(messages)},
                               {"add_generation_prompt", options.add_generation_prompt},
                               {"enable_thinking", options.enable_thinking},
                               {"bos_token", options.bos_token},
                               {"eos_token", options.eos_token}};
  try {
    return jinja::render(parsed_->block, globals);
  } catch (const jinja::TemplateError& error) {
    return Error{place_ + ": chat template, " + error.message};
  }
}

Result<std::string> ChatTemplate::render(const std::vector<ChatMessage>& messages,
                                         const ChatOptions& options) const {
  OrderedJson json = OrderedJson::array();
  for (const ChatMessage& message : messages) {
    json.push_back({{"role", message.role}, {"content", message.content}});
  }
  return render(json, options);
}

}  // namespace assay
