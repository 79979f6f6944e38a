// An engine behind a URL: a server that speaks the OpenAI-compatible chat protocol, or several that
// share the work.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "engine/engine.h"
#include "engine/remote/http.h"
#include "engine/remote/openai.h"
#include "harness/base/result.h"

namespace assay {

struct RemoteOptions {
  std::vector<std::string> urls;  // bases, "http://host:8000/v1"
  std::string model;              // as the server names it
  std::string api_key;            // empty: none
  ServerProfile profile;
  bool text = false;               // completions: prompts are texts and tokens, not messages
  std::string bos;                 // that prompts may begin with, where they are sent as texts
  int max_connections = 64;        // requests in flight, all servers together
  double requests_per_minute = 0;  // 0: no limit
  double timeout_s = 3600;         // of a request
  bool stream = false;          // answers come as they are made, and are watched for their length
  int samples_per_request = 1;  // of one question, where the server takes "n"; not with streams
  int max_attempts = 12;        // of a request, after which the run ends
  double first_delay_s = 0.5;   // before the second attempt; doubles, up to a minute
};

// The key that a server gets: ASSAY_API_KEY, else OPENAI_API_KEY of the environment; never stored.
std::string api_key_from_environment();

// What /v1/models of a server says, as JSON, and its headers.
struct ServerModels {
  Json models;
  std::map<std::string, std::string> headers;
};
Result<ServerModels> fetch_models(const std::string& url, const std::string& api_key);

// A prompt's text is its messages as JSON, but for completions. A request that fails in a way that
// may pass (429, 408, 5xx, no connection, a reset, a time-out, an answer that cannot be read) is
// sent again, after Retry-After or a growing delay, to whichever server has room; the number of
// requests in flight halves when a server says that it has too many and grows again by one for each
// answer. What will not pass ends the run. A sample is delivered once, whatever came before.
class RemoteEngine : public Engine {
 public:
  static Result<std::unique_ptr<RemoteEngine>> create(RemoteOptions options);

  Status generate(RequestSource& source, CompletionSink& sink,
                  const std::atomic<bool>& stop) override;
  const EngineStats& stats() const override { return stats_; }
  // The last that the servers sent; empty before.
  const std::string& fingerprint() const { return fingerprint_; }

 private:
  struct Pending {
    std::vector<Request> requests;  // of one prompt, with sample indices one after the other
    int attempts = 0;
    double not_before_s = 0;
    size_t server = 0;
  };
  struct Server {
    double limit = 8;  // requests in flight
    int in_flight = 0, failures = 0;
    double not_before_s = 0;
  };

  explicit RemoteEngine(RemoteOptions options) : options_(std::move(options)) {}
  // The server with the most room; none has any: nothing.
  std::optional<size_t> free_server(double now_s) const;
  void send(HttpClient& client, uint64_t id, Pending& pending, size_t server);
  // The next that the source has, with those behind it that can be asked for together.
  std::optional<Pending> take(RequestSource& source);
  // What came of a request, in the order of its samples; none: it is to be sent again. Fewer than
  // it asked for: the rest is. An error ends the run.
  Result<std::vector<Completion>> finish(Pending& pending, const HttpResponse& response,
                                         double now_s);
  Completion completion_of(const Request& request, ServerReply reply) const;
  Status delay(Pending& pending, const std::string& why, double wait_s, double now_s);

  RemoteOptions options_;
  std::vector<Server> servers_;
  EngineStats stats_;
  std::string fingerprint_;
  std::optional<Request> ahead_;  // taken from the source, and not part of what went before
  double next_send_s_ = 0;
};

}  // namespace assay
