#include "engine/remote/openai.h"

#include <fmt/format.h>

#include <algorithm>

#include "harness/base/file.h"
#include "harness/base/resources.h"
#include "harness/base/text.h"

namespace assay {
namespace {

// A member that may be absent, null or of another type.
std::string text_of(const Json& json, const char* key) {
  const auto found = json.find(key);
  return found != json.end() && found->is_string() ? to_valid_utf8(found->get<std::string>())
                                                   : std::string();
}

int count_of(const Json& json, const char* key) {
  const auto found = json.find(key);
  if (found == json.end() || !found->is_number_integer()) return 0;
  return static_cast<int>(std::clamp<int64_t>(found->get<int64_t>(), 0, INT32_MAX));
}

}  // namespace

Result<ServerProfile> find_profile(const std::string& name) {
  ASSAY_TRY(const std::string path, find_resource("engine/remote/profiles.json"));
  ASSAY_TRY(const Json json, read_json_file(path));
  std::vector<std::string> names;
  for (const Json& entry : json["profiles"]) {
    ServerProfile profile;
    profile.name = entry["name"];
    profile.max_tokens = entry["max_tokens"];
    profile.top_k = entry["top_k"];
    profile.min_p = entry["min_p"];
    profile.seed = entry.value("seed", true);
    profile.prefill = entry["prefill"];
    profile.philox = entry.value("philox", false);
    profile.token_prompts = entry.value("token_prompts", false);
    profile.n = entry.value("n", false);
    profile.samplers = entry.value("samplers", std::vector<std::string>());
    if (profile.name == name) return profile;
    names.push_back(profile.name);
  }
  return Error{
      fmt::format("--server-profile {}: must be auto or one of {}", name, join(names, ", "))};
}

std::string guess_profile(const Json& models, const std::map<std::string, std::string>& headers,
                          const std::string& url) {
  if (url.find("api.openai.com") != std::string::npos) return "openai";
  if (url.find("api.deepseek.com") != std::string::npos) return "deepseek";
  const auto server = headers.find("server");
  if (server != headers.end() && server->second.find("llama.cpp") != std::string::npos) {
    return "llama-server";
  }
  if (!models.is_object() || !models.contains("data") || !models["data"].is_array()) return "other";
  for (const Json& model : models["data"]) {
    if (!model.is_object()) continue;
    const std::string owner = text_of(model, "owned_by");
    if (owner == "assay") return "assay";
    if (owner == "vllm") return "vllm";
    if (owner == "sglang") return "sglang";
    if (owner == "llamacpp") return "llama-server";
    if (owner == "library") return "ollama";
  }
  return "other";
}

namespace {

void add_sampling(const ServerProfile& profile, const Request& request, uint32_t seed,
                  OrderedJson& body) {
  const SamplingParams& sampling = *request.sampling;
  body["temperature"] = sampling.temperature;
  body["top_p"] = sampling.top_p;
  if (profile.top_k && sampling.top_k > 0) body["top_k"] = sampling.top_k;
  if (profile.top_k && sampling.top_k == 0 && profile.name == "llama-server") body["top_k"] = 0;
  if (profile.min_p) body["min_p"] = sampling.min_p;
  if (profile.philox) {
    body["philox"] = {{"key", {request.key[0], request.key[1]}},
                      {"sample_index", request.id.sample_index}};
  } else if (profile.seed) {
    body["seed"] = seed;
  }
  if (!profile.samplers.empty()) body["samplers"] = profile.samplers;
  if (!sampling.stop.empty()) body["stop"] = sampling.stop;
}

}  // namespace

std::string request_body(const ServerProfile& profile, const std::string& model,
                         const Request& request, const BodyOptions& options) {
  const Prompt& prompt = *request.prompt;
  OrderedJson body = {{"model", model}};
  if (options.text) {
    const bool begins = !options.bos.empty() && prompt.text.starts_with(options.bos);
    if (profile.token_prompts) {
      body["prompt"] = prompt.token_ids;
    } else {
      body["prompt"] = begins ? prompt.text.substr(options.bos.size()) : prompt.text;
    }
    body["max_tokens"] = request.sampling->max_tokens;
  } else {
    const bool continues_last = prompt.opens_thought;
    body["messages"] = OrderedJson::parse(prompt.text, nullptr, false);
    body[profile.max_tokens] = request.sampling->max_tokens;
    if (profile.philox) body["chat_template_kwargs"] = {{"enable_thinking", continues_last}};
    if (continues_last && profile.prefill == "continue_final_message") {
      body["continue_final_message"] = true;
      body["add_generation_prompt"] = false;
    }
  }
  add_sampling(profile, request, options.seed, body);
  if (options.n > 1) body["n"] = options.n;
  body["stream"] = options.stream;
  if (options.stream) body["stream_options"] = {{"include_usage", true}};
  return dump_json(body);
}

namespace {

Error wrong_reply(const std::string& what, const std::string& body) {
  return Error{fmt::format("{}: {}", what, quote_for_message(body.substr(0, 200)))};
}

// What a choice's end says; other ends than these are errors.
Result<FinishReason> end_of(const std::string& reason, const std::string& body) {
  if (reason == "length") return FinishReason::kLength;
  if (reason == "stop" || reason == "eos" || reason.empty()) return FinishReason::kStop;
  return wrong_reply("the answer ended for " + quote_for_message(reason), body);
}

// Text and thought, as servers part them, as one text.
std::string with_thought(std::string text, const std::string& thought, const ReplyForm& form,
                         FinishReason reason) {
  if (thought.empty() || text.find("</think>") != std::string::npos) return text;
  // A thought without an answer behind it was cut.
  const bool cut = reason == FinishReason::kLength && text.empty();
  return (form.opens_thought ? "" : "<think>\n") + thought + (cut ? "" : "\n</think>\n\n") + text;
}

std::string thought_of(const Json& message) {
  const std::string thought = text_of(message, "reasoning_content");
  return thought.empty() ? text_of(message, "reasoning") : thought;
}

struct Counts {
  int prompt = 0, completion = 0;
};

Counts usage_of(const Json& json) {
  const auto usage = json.find("usage");
  if (usage == json.end() || !usage->is_object()) return {};
  return {count_of(*usage, "prompt_tokens"), count_of(*usage, "completion_tokens")};
}

void share_tokens(const Counts& counts, std::vector<ServerReply>& replies) {
  size_t all = 0;
  for (const ServerReply& reply : replies) all += reply.text.size();
  for (ServerReply& reply : replies) {
    reply.prompt_tokens = counts.prompt;
    reply.completion_tokens =
        replies.size() == 1 || all == 0
            ? counts.completion / static_cast<int>(replies.size())
            : static_cast<int>(static_cast<double>(counts.completion) *
                               static_cast<double>(reply.text.size()) / static_cast<double>(all));
  }
}

}  // namespace

Result<std::vector<ServerReply>> parse_replies(const std::string& body, const ReplyForm& form) {
  const auto parsed = parse_json(body, "answer");
  const Json json = parsed.ok() ? *parsed : Json();
  if (!json.is_object()) return wrong_reply("the answer is no JSON object", body);
  const auto choices = json.find("choices");
  if (choices == json.end() || !choices->is_array() || choices->empty()) {
    return wrong_reply("the answer has no choices", body);
  }
  std::vector<ServerReply> replies;
  for (const Json& choice : *choices) {
    if (!choice.is_object()) return wrong_reply("the answer has no choices", body);
    ServerReply reply;
    ASSAY_TRY(reply.finish_reason, end_of(text_of(choice, "finish_reason"), body));
    if (form.text) {
      if (!choice.contains("text") || !choice["text"].is_string()) {
        return wrong_reply("the answer has no text", body);
      }
      reply.text = text_of(choice, "text");
    } else {
      const auto message = choice.find("message");
      if (message == choice.end() || !message->is_object()) {
        return wrong_reply("the answer has no message", body);
      }
      reply.text = with_thought(text_of(*message, "content"), thought_of(*message), form,
                                reply.finish_reason);
    }
    reply.fingerprint = text_of(json, "system_fingerprint");
    replies.push_back(std::move(reply));
  }
  share_tokens(usage_of(json), replies);
  return replies;
}

Result<ServerReply> parse_stream(const std::string& events, const ReplyForm& form, bool cut) {
  ServerReply reply;
  std::string text, thought, reason;
  int pieces = 0;
  bool done = false;
  for (const std::string& line : split(events, '\n')) {
    if (!line.starts_with("data:")) continue;
    const std::string_view data = trim(std::string_view(line).substr(5));
    if (data == "[DONE]") {
      done = true;
      continue;
    }
    const auto parsed = parse_json(data, "event");
    if (!parsed.ok() || !parsed->is_object()) {
      if (cut) break;  // where it was ended
      return wrong_reply("an event of the stream is no JSON object", std::string(data));
    }
    if (parsed->contains("error")) return wrong_reply("the stream fails", std::string(data));
    const Counts counts = usage_of(*parsed);
    if (counts.completion > 0) reply.completion_tokens = counts.completion;
    if (counts.prompt > 0) reply.prompt_tokens = counts.prompt;
    if (reply.fingerprint.empty()) reply.fingerprint = text_of(*parsed, "system_fingerprint");
    const auto choices = parsed->find("choices");
    if (choices == parsed->end() || !choices->is_array() || choices->empty() ||
        !(*choices)[0].is_object()) {
      continue;
    }
    const Json& choice = (*choices)[0];
    if (const std::string end = text_of(choice, "finish_reason"); !end.empty()) reason = end;
    const auto delta = choice.find("delta");
    const std::string piece = form.text ? text_of(choice, "text")
                              : delta != choice.end() && delta->is_object()
                                  ? text_of(*delta, "content")
                                  : std::string();
    if (!form.text && delta != choice.end() && delta->is_object()) thought += thought_of(*delta);
    text += piece;
    ++pieces;
  }
  if (!cut && !done && reason.empty()) {
    return wrong_reply("the stream ends before the answer does", events);
  }
  ASSAY_TRY(reply.finish_reason, end_of(cut ? "length" : reason, events));
  reply.text = with_thought(to_valid_utf8(text), thought, form, reply.finish_reason);
  if (reply.completion_tokens == 0) reply.completion_tokens = pieces;
  return reply;
}

std::string error_message(const std::string& body) {
  const auto parsed = parse_json(body, "answer");
  const Json json = parsed.ok() ? *parsed : Json();
  std::string message;
  if (json.is_object()) {
    const auto error = json.find("error");
    if (error != json.end() && error->is_object()) message = text_of(*error, "message");
    if (message.empty()) message = text_of(json, "message");
    if (message.empty()) message = text_of(json, "detail");
  }
  if (message.empty()) message = to_valid_utf8(body.substr(0, 300));
  std::replace(message.begin(), message.end(), '\n', ' ');
  return message.substr(0, 400);
}

}  // namespace assay
