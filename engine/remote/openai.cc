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
  body["stream"] = false;
}

}  // namespace

std::string chat_body(const ServerProfile& profile, const std::string& model,
                      const Request& request, uint32_t seed) {
  const bool continues_last = request.prompt->opens_thought;
  OrderedJson body = {{"model", model}};
  body["messages"] = OrderedJson::parse(request.prompt->text, nullptr, false);
  body[profile.max_tokens] = request.sampling->max_tokens;
  if (profile.philox) body["chat_template_kwargs"] = {{"enable_thinking", continues_last}};
  if (continues_last && profile.prefill == "continue_final_message") {
    body["continue_final_message"] = true;
    body["add_generation_prompt"] = false;
  }
  add_sampling(profile, request, seed, body);
  return dump_json(body);
}

std::string text_body(const ServerProfile& profile, const std::string& model,
                      const Request& request, const std::string& bos, uint32_t seed) {
  const Prompt& prompt = *request.prompt;
  OrderedJson body = {{"model", model}};
  if (profile.token_prompts) {
    body["prompt"] = prompt.token_ids;
  } else {
    const bool begins = !bos.empty() && prompt.text.starts_with(bos);
    body["prompt"] = begins ? prompt.text.substr(bos.size()) : prompt.text;
  }
  body["max_tokens"] = request.sampling->max_tokens;
  add_sampling(profile, request, seed, body);
  return dump_json(body);
}

namespace {

// The first choice of a reply, and what its end and its usage say.
Result<Json> first_choice(const std::string& body, ChatReply& reply) {
  const auto wrong = [&](const std::string& what) {
    return Error{fmt::format("{}: {}", what, quote_for_message(body.substr(0, 200)))};
  };
  const auto parsed = parse_json(body, "answer");
  const Json json = parsed.ok() ? *parsed : Json();
  if (!json.is_object()) return wrong("the answer is no JSON object");
  const auto choices = json.find("choices");
  if (choices == json.end() || !choices->is_array() || choices->empty() ||
      !(*choices)[0].is_object()) {
    return wrong("the answer has no choices");
  }
  const Json& choice = (*choices)[0];
  const std::string reason = text_of(choice, "finish_reason");
  if (reason == "length") {
    reply.finish_reason = FinishReason::kLength;
  } else if (reason != "stop" && reason != "eos" && !reason.empty()) {
    return wrong("the answer ended for " + quote_for_message(reason));
  }
  if (const auto usage = json.find("usage"); usage != json.end() && usage->is_object()) {
    reply.prompt_tokens = count_of(*usage, "prompt_tokens");
    reply.completion_tokens = count_of(*usage, "completion_tokens");
  }
  reply.fingerprint = text_of(json, "system_fingerprint");
  return choice;
}

}  // namespace

Result<ChatReply> parse_chat_reply(const std::string& body, bool opens_thought) {
  ChatReply reply;
  ASSAY_TRY(const Json choice, first_choice(body, reply));
  const auto message = choice.find("message");
  if (message == choice.end() || !message->is_object()) {
    return Error{"the answer has no message: " + quote_for_message(body.substr(0, 200))};
  }
  reply.text = text_of(*message, "content");
  std::string thought = text_of(*message, "reasoning_content");
  if (thought.empty()) thought = text_of(*message, "reasoning");
  const bool closed = reply.text.find("</think>") != std::string::npos;
  if (!thought.empty() && !closed) {
    // A thought without an answer behind it was cut.
    const bool cut = reply.finish_reason == FinishReason::kLength && reply.text.empty();
    reply.text =
        (opens_thought ? "" : "<think>\n") + thought + (cut ? "" : "\n</think>\n\n") + reply.text;
  }
  return reply;
}

Result<ChatReply> parse_text_reply(const std::string& body) {
  ChatReply reply;
  ASSAY_TRY(const Json choice, first_choice(body, reply));
  if (!choice.contains("text") || !choice["text"].is_string()) {
    return Error{"the answer has no text: " + quote_for_message(body.substr(0, 200))};
  }
  reply.text = text_of(choice, "text");
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
