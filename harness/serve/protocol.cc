#include "harness/serve/protocol.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>

#include "harness/base/text.h"

namespace assay {
namespace {

Result<std::vector<std::string>> one_or_more(const Json& json, const JsonReader& reader,
                                             const std::string& key) {
  std::vector<std::string> texts;
  if (json.is_string()) return std::vector<std::string>{json.get<std::string>()};
  if (!json.is_array()) return reader.wrong(key, "a text or a list of texts");
  for (const Json& entry : json) {
    if (!entry.is_string()) return reader.wrong(key, "a text or a list of texts");
    texts.push_back(entry.get<std::string>());
  }
  return texts;
}

// A text, or parts of which all are texts.
Result<std::string> content_of(const Json& json, const std::string& place) {
  if (json.is_string()) return json.get<std::string>();
  if (json.is_null()) return std::string();
  std::string text;
  const auto wrong = [&] { return Error{place + ": must be a text or a list of text parts"}; };
  if (!json.is_array()) return wrong();
  for (const Json& part : json) {
    if (!part.is_object() || part.value("type", Json()) != "text" || !part.contains("text") ||
        !part["text"].is_string()) {
      return wrong();
    }
    text += part["text"].get<std::string>();
  }
  return text;
}

Status read_messages(const Json& json, ServeRequest& request) {
  if (!json.is_array() || json.empty()) return Error{"messages: must be a list of messages"};
  for (size_t i = 0; i < json.size(); ++i) {
    const std::string place = fmt::format("messages[{}]", i);
    JsonReader reader(json[i], place);
    ASSAY_TRY_STATUS(reader.must_be_object());
    ChatMessage message;
    ASSAY_TRY(message.role, reader.text("role"));
    if (message.role == "developer") message.role = "system";
    if (message.role != "system" && message.role != "user" && message.role != "assistant") {
      return reader.wrong("role", "system, developer, user or assistant");
    }
    ASSAY_TRY(message.content, content_of(reader.any("content"), place + ".content"));
    request.messages.push_back(std::move(message));
  }
  return {};
}

Result<ServeRequest::Text> token_ids(const Json& json, const JsonReader& reader) {
  ServeRequest::Text prompt;
  prompt.is_ids = true;
  for (const Json& id : json) {
    if (!id.is_number_integer() || id.get<int64_t>() < 0 || id.get<int64_t>() > INT32_MAX) {
      return reader.wrong("prompt", "texts or lists of token ids");
    }
    prompt.ids.push_back(static_cast<int32_t>(id.get<int64_t>()));
  }
  return prompt;
}

Status read_prompts(const Json& json, const JsonReader& reader, ServeRequest& request) {
  if (json.is_string()) {
    request.prompts.push_back({json.get<std::string>(), {}, false});
    return {};
  }
  if (!json.is_array() || json.empty()) return reader.wrong("prompt", "texts or token ids");
  if (json[0].is_number()) {
    ASSAY_TRY(ServeRequest::Text ids, token_ids(json, reader));
    request.prompts.push_back(std::move(ids));
    return {};
  }
  for (const Json& entry : json) {
    if (entry.is_string()) {
      request.prompts.push_back({entry.get<std::string>(), {}, false});
    } else if (entry.is_array()) {
      ASSAY_TRY(ServeRequest::Text ids, token_ids(entry, reader));
      request.prompts.push_back(std::move(ids));
    } else {
      return reader.wrong("prompt", "texts or lists of token ids");
    }
  }
  return {};
}

// Null is as if the key were not there, as clients send it.
Json without_nulls(const Json& json) {
  Json out = Json::object();
  for (const auto& [key, value] : json.items()) {
    if (!value.is_null()) out[key] = value;
  }
  return out;
}

// What would change the answer, and cannot be had.
Status check_absent(const Json& body) {
  const auto refuse = [](const std::string& key) {
    return Error{key + ": is not supported by this server; leave it out"};
  };
  for (const char* key : {"tools", "functions", "logit_bias", "suffix", "grammar", "guided_json",
                          "guided_regex", "prompt_logprobs"}) {
    if (body.contains(key) && !body[key].empty()) return refuse(key);
  }
  for (const auto& [key, neutral] :
       {std::pair("presence_penalty", 0.0), std::pair("frequency_penalty", 0.0),
        std::pair("repetition_penalty", 1.0), std::pair("repeat_penalty", 1.0),
        std::pair("top_logprobs", 0.0), std::pair("typical_p", 1.0)}) {
    if (body.contains(key) && body[key] != neutral) return refuse(key);
  }
  if (body.contains("response_format") &&
      (!body["response_format"].is_object() ||
       body["response_format"].value("type", Json()) != "text")) {
    return refuse("response_format");
  }
  return {};
}

Result<int> count_from(JsonReader& reader, const char* key, int fallback, int least, int most) {
  ASSAY_TRY(const int64_t value, reader.integer_or(key, fallback));
  if (value < least || value > most) {
    return reader.wrong(key, fmt::format("from {} to {}", least, most));
  }
  return static_cast<int>(value);
}

Status read_sampling(JsonReader& reader, ServeRequest& request) {
  SamplingParams& sampling = request.sampling;
  ASSAY_TRY(sampling.temperature, reader.number_or("temperature", 1));
  if (!(sampling.temperature >= 0 && sampling.temperature <= 100)) {
    return reader.wrong("temperature", "from 0 to 100");
  }
  // As good as greedy; the sampler's smallest temperature is 0.01.
  if (sampling.temperature < 0.01) sampling.temperature = 0;
  ASSAY_TRY(sampling.top_p, reader.number_or("top_p", 1));
  if (!(sampling.top_p > 0 && sampling.top_p <= 1)) {
    return reader.wrong("top_p", "over 0 and at most 1");
  }
  ASSAY_TRY(sampling.top_k, count_from(reader, "top_k", 0, -1, INT32_MAX));
  sampling.top_k = std::max(sampling.top_k, 0);
  ASSAY_TRY(sampling.min_p, reader.number_or("min_p", 0));
  if (!(sampling.min_p >= 0 && sampling.min_p < 1)) {
    return reader.wrong("min_p", "from 0 and below 1");
  }
  const char* most = reader.has("max_completion_tokens") ? "max_completion_tokens" : "max_tokens";
  if (reader.has(most) || !request.chat) {
    ASSAY_TRY(sampling.max_tokens, count_from(reader, most, 16, 1, INT32_MAX));
  } else {
    sampling.max_tokens = 0;
  }
  if (reader.has("stop")) {
    ASSAY_TRY(sampling.stop, one_or_more(reader.any("stop"), reader, "stop"));
    std::erase(sampling.stop, "");
    if (sampling.stop.size() > 64) return reader.wrong("stop", "at most 64 texts");
  }
  return {};
}

Status read_key(const Json& json, ServeRequest& request) {
  JsonReader reader(json, "philox");
  ASSAY_TRY_STATUS(reader.must_be_object());
  const Json& key = reader.any("key");
  if (!key.is_array() || key.size() != 2) return reader.wrong("key", "two numbers");
  PhiloxKey words{};
  for (size_t i = 0; i < 2; ++i) {
    if (!key[i].is_number_integer() || key[i].get<int64_t>() < 0 ||
        key[i].get<int64_t>() > UINT32_MAX) {
      return reader.wrong("key", "two numbers of 32 bits");
    }
    words[i] = static_cast<uint32_t>(key[i].get<int64_t>());
  }
  request.key = words;
  ASSAY_TRY(request.first_sample, count_from(reader, "sample_index", 0, 0, INT32_MAX - 4096));
  return {};
}

Status read_logprobs(const Json& body, ServeRequest& request) {
  if (!body.contains("logprobs")) return {};
  const Json& wanted = body["logprobs"];
  if (wanted.is_boolean()) {
    request.logprobs = wanted.get<bool>();
    return {};
  }
  // Of completions: how many other tokens; the chosen one's comes in any case.
  if (!request.chat && wanted.is_number_integer() && wanted.get<int64_t>() >= 0 &&
      wanted.get<int64_t>() <= 1) {
    request.logprobs = true;
    return {};
  }
  return Error{
      "logprobs: must be true or false, or of completions 0 or 1: other tokens' "
      "log-probabilities are not supported by this server"};
}

OrderedJson logprobs_json(const AnswerHead& head, const std::vector<ChoiceToken>& tokens) {
  OrderedJson json;
  if (head.chat) {
    json["content"] = OrderedJson::array();
    for (const ChoiceToken& token : tokens) {
      OrderedJson bytes = OrderedJson::array();
      for (const char c : token.bytes) bytes.push_back(static_cast<unsigned char>(c));
      json["content"].push_back({{"token", to_valid_utf8(token.bytes)},
                                 {"logprob", token.logprob},
                                 {"bytes", std::move(bytes)},
                                 {"top_logprobs", OrderedJson::array()}});
    }
    return json;
  }
  json = {{"tokens", OrderedJson::array()},
          {"token_logprobs", OrderedJson::array()},
          {"top_logprobs", nullptr},
          {"text_offset", OrderedJson::array()}};
  size_t offset = 0;
  for (const ChoiceToken& token : tokens) {
    json["tokens"].push_back(to_valid_utf8(token.bytes));
    json["token_logprobs"].push_back(token.logprob);
    json["text_offset"].push_back(offset);
    offset += token.bytes.size();
  }
  return json;
}

OrderedJson usage_json(const Usage& usage) {
  return {{"prompt_tokens", usage.prompt_tokens},
          {"completion_tokens", usage.completion_tokens},
          {"total_tokens", usage.prompt_tokens + usage.completion_tokens}};
}

OrderedJson head_json(const AnswerHead& head, bool chunk) {
  const char* object = !head.chat ? "text_completion"
                       : chunk    ? "chat.completion.chunk"
                                  : "chat.completion";
  return {{"id", head.id},
          {"object", object},
          {"created", head.created},
          {"model", head.model},
          {"system_fingerprint", head.fingerprint},
          {"choices", OrderedJson::array()}};
}

OrderedJson reason_json(const ServedChoice& choice) {
  return choice.finish_reason.empty() ? OrderedJson() : OrderedJson(choice.finish_reason);
}

// How many of the last bytes could be the beginning of `stop`.
size_t held_for(const std::string& bytes, const std::string& stop) {
  for (size_t count = std::min(bytes.size(), stop.size() - 1); count > 0; --count) {
    if (bytes.compare(bytes.size() - count, count, stop, 0, count) == 0) return count;
  }
  return 0;
}

// Bytes at the end that begin a character which is not complete.
size_t incomplete_tail(std::string_view bytes) {
  for (size_t count = 1; count <= std::min<size_t>(3, bytes.size()); ++count) {
    const auto c = static_cast<unsigned char>(bytes[bytes.size() - count]);
    if ((c & 0xC0) == 0x80) continue;
    const size_t length = c >= 0xF0 ? 4 : c >= 0xE0 ? 3 : c >= 0xC0 ? 2 : 1;
    return length > count ? count : 0;
  }
  return 0;
}

}  // namespace

Result<ServeRequest> parse_serve_request(std::string_view body, bool chat) {
  ASSAY_TRY(const Json given, parse_json(body, "the body"));
  if (!given.is_object()) return Error{"the body must be a JSON object"};
  const Json json = without_nulls(given);
  ASSAY_TRY_STATUS(check_absent(json));
  JsonReader reader(json, "the body");
  ServeRequest request;
  request.chat = chat;
  if (chat) {
    ASSAY_TRY_STATUS(read_messages(reader.any("messages"), request));
    ASSAY_TRY(request.continues_last, reader.boolean_or("continue_final_message", false));
    if (request.continues_last && request.messages.back().role != "assistant") {
      return reader.wrong("continue_final_message",
                          "false unless the last message is the assistant's");
    }
    const Json& arguments = reader.any("chat_template_kwargs");
    if (arguments.is_object()) {
      JsonReader inner(arguments, "chat_template_kwargs");
      ASSAY_TRY(request.enable_thinking, inner.boolean_or("enable_thinking", true));
      ASSAY_TRY_STATUS(inner.no_other_keys());
    }
  } else {
    ASSAY_TRY_STATUS(read_prompts(reader.any("prompt"), reader, request));
    ASSAY_TRY(request.echo, reader.boolean_or("echo", false));
  }
  ASSAY_TRY(request.n, count_from(reader, "n", 1, 1, kMostChoices));
  ASSAY_TRY(const int best_of, count_from(reader, "best_of", request.n, 1, kMostChoices));
  if (best_of != request.n) return reader.wrong("best_of", "n, or left out");
  const size_t prompts = chat ? 1 : request.prompts.size();
  if (prompts * static_cast<size_t>(request.n) > kMostChoices) {
    return Error{fmt::format("n: {} choices are asked for, {} are the most",
                             prompts * static_cast<size_t>(request.n), kMostChoices)};
  }
  ASSAY_TRY_STATUS(read_sampling(reader, request));
  if (reader.has("seed")) {
    ASSAY_TRY(const int64_t seed, reader.integer("seed"));
    request.seed = static_cast<uint64_t>(seed);
  }
  if (reader.has("philox")) {
    ASSAY_TRY_STATUS(read_key(reader.any("philox"), request));
  }
  ASSAY_TRY_STATUS(read_logprobs(json, request));
  if (request.logprobs && request.echo) {
    return Error{"echo: a prompt's log-probabilities are not supported by this server"};
  }
  ASSAY_TRY(request.stream, reader.boolean_or("stream", false));
  if (reader.has("stream_options") && reader.any("stream_options").is_object()) {
    request.include_usage = reader.any("stream_options").value("include_usage", Json()) == true;
  }
  return request;
}

bool TextStream::stops_apply() const {
  return bytes_.find("</think>") != std::string::npos ||
         !(opens_thought_ || bytes_.find("<think>") != std::string::npos);
}

size_t TextStream::first_held() const {
  size_t held = bytes_.size();
  if (stop_.empty() || !stops_apply()) return held;
  for (const std::string& stop : stop_) {
    held = std::min({held, bytes_.find(stop, safe_bytes_), bytes_.size() - held_for(bytes_, stop)});
  }
  return std::max(held, safe_bytes_);
}

std::string TextStream::add(std::string_view bytes) {
  bytes_ += bytes;
  const std::string_view all(bytes_);
  size_t end = first_held();
  end -= incomplete_tail(all.substr(safe_bytes_, end - safe_bytes_));
  std::string fresh = to_valid_utf8(all.substr(safe_bytes_, end - safe_bytes_));
  safe_bytes_ = end;
  shown_ += fresh.size();
  return fresh;
}

std::string TextStream::finish(const std::string& text) {
  return text.size() > shown_ ? text.substr(shown_) : std::string();
}

OrderedJson answer_json(const AnswerHead& head, const std::vector<ServedChoice>& choices,
                        const Usage& usage) {
  OrderedJson json = head_json(head, false);
  for (const ServedChoice& choice : choices) {
    OrderedJson entry = {{"index", choice.index}};
    if (head.chat) {
      entry["message"] = {{"role", "assistant"}, {"content", choice.text}};
    } else {
      entry["text"] = choice.text;
    }
    entry["logprobs"] = head.logprobs ? logprobs_json(head, choice.tokens) : OrderedJson();
    entry["finish_reason"] = reason_json(choice);
    json["choices"].push_back(std::move(entry));
  }
  json["usage"] = usage_json(usage);
  return json;
}

OrderedJson chunk_json(const AnswerHead& head, const ServedChoice& piece, bool first) {
  OrderedJson json = head_json(head, true);
  OrderedJson entry = {{"index", piece.index}};
  if (head.chat) {
    OrderedJson delta = OrderedJson::object();
    if (first) delta["role"] = "assistant";
    if (first || !piece.text.empty()) delta["content"] = piece.text;
    entry["delta"] = std::move(delta);
  } else {
    entry["text"] = piece.text;
  }
  entry["logprobs"] = head.logprobs ? logprobs_json(head, piece.tokens) : OrderedJson();
  entry["finish_reason"] = reason_json(piece);
  json["choices"].push_back(std::move(entry));
  return json;
}

OrderedJson usage_chunk_json(const AnswerHead& head, const Usage& usage) {
  OrderedJson json = head_json(head, true);
  json["usage"] = usage_json(usage);
  return json;
}

std::string error_json(const std::string& message, const std::string& type) {
  return dump_json(OrderedJson{
      {"error", {{"message", message}, {"type", type}, {"param", nullptr}, {"code", nullptr}}}});
}

}  // namespace assay
