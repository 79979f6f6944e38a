// The OpenAI-compatible chat protocol: bodies, replies, and how servers differ in it.
#pragma once

#include <map>
#include <optional>
#include <string>
#include <vector>

#include "harness/base/json.h"
#include "harness/base/nouns.h"
#include "harness/base/result.h"

namespace assay {

// How a kind of server differs (engine/remote/profiles.json).
struct ServerProfile {
  std::string name;        // openai, deepseek, vllm, sglang, llama-server, assay, ollama, other
  std::string max_tokens;  // the key's name
  bool top_k = false, min_p = false, seed = true;
  // How a response can be begun for the model: "continue_final_message" (a flag), "last" (an
  // assistant message at the end is continued), or empty: not at all.
  std::string prefill;
  std::vector<std::string> samplers;  // their order, where the server would have another
  bool philox = false;  // takes the sample's stream of random numbers, and gives the same tokens
  // Whether a prompt of completions can be token ids. A text gets its BOS from the server.
  bool token_prompts = false;
};

Result<ServerProfile> find_profile(const std::string& name);
// The profile that an answer of /v1/models speaks for, by "owned_by" and the Server header.
std::string guess_profile(const Json& models, const std::map<std::string, std::string>& headers,
                          const std::string& url);

// A request's prompt has the messages as its text: [{"role", "content"}, …]. `seed`: what servers
// with a generator of their own get.
std::string chat_body(const ServerProfile& profile, const std::string& model,
                      const Request& request, uint32_t seed);

// The same for completions: the request's prompt is sent as tokens, or as text without the BOS that
// the server adds.
std::string text_body(const ServerProfile& profile, const std::string& model,
                      const Request& request, const std::string& bos, uint32_t seed);

struct ChatReply {
  std::string text;  // with the thought between <think> and </think>
  FinishReason finish_reason = FinishReason::kStop;
  int prompt_tokens = 0, completion_tokens = 0;  // as the server counts them; 0: not said
  std::string fingerprint;
};

// Anything but a well-formed reply is an error. `opens_thought`: the prompt ended inside <think>.
Result<ChatReply> parse_chat_reply(const std::string& body, bool opens_thought);

Result<ChatReply> parse_text_reply(const std::string& body);

// What a server says of an error, on one line.
std::string error_message(const std::string& body);

}  // namespace assay
