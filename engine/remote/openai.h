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
  bool n = false;  // whether one request can ask for several samples
};

Result<ServerProfile> find_profile(const std::string& name);
// The profile that an answer of /v1/models speaks for, by "owned_by" and the Server header.
std::string guess_profile(const Json& models, const std::map<std::string, std::string>& headers,
                          const std::string& url);

// How a request is put to a server.
struct BodyOptions {
  bool text = false;    // completions: the prompt as tokens, or as text without BOS; else messages
  std::string bos;      // that the server adds
  bool stream = false;  // the answer comes as server-sent events
  int n = 1;            // samples, from the request's on
  uint32_t seed = 0;    // what servers with a generator of their own get
};

// A chat request's prompt has the messages as its text: [{"role", "content"}, …].
std::string request_body(const ServerProfile& profile, const std::string& model,
                         const Request& request, const BodyOptions& options);

struct ServerReply {
  std::string text;  // with the thought between <think> and </think>
  FinishReason finish_reason = FinishReason::kStop;
  int prompt_tokens = 0, completion_tokens = 0;  // as the server counts them; 0: not said
  std::string fingerprint;
};

struct ReplyForm {
  bool text = false;           // of completions
  bool opens_thought = false;  // the prompt ended inside <think>
};

// The choices of a whole answer, in order; its tokens are shared among them by their length.
// Anything but a well-formed reply is an error.
Result<std::vector<ServerReply>> parse_replies(const std::string& body, const ReplyForm& form);
// The one choice of a stream of server-sent events. `cut`: it was ended here, for its length; else
// a stream that does not say how it ended is an error.
Result<ServerReply> parse_stream(const std::string& events, const ReplyForm& form, bool cut);

// What a server says of an error, on one line.
std::string error_message(const std::string& body);

}  // namespace assay
