// Answers HTTP connections from an engine that runs beside them.
//
//   GET  /health                  200 once the model is there, 503 when the engine has failed
//   GET  /metrics                 Prometheus text
//   GET  /v1/models
//   POST /v1/chat/completions, /v1/completions       see protocol.h; streams are server-sent events
//
// All samples of all connections are one continuous batch. A client that goes away frees its
// slots; one that asks for more samples than may wait gets 429 and Retry-After.
#pragma once

#include <atomic>
#include <cstdint>
#include <functional>
#include <memory>
#include <string>

#include "engine/runtime/local_engine.h"
#include "harness/base/result.h"

namespace assay {

struct ServeOptions {
  std::string host = "127.0.0.1";  // an address of this machine
  int port = 8000;                 // 0: any that is free
  std::string model_name;
  std::string api_key;  // that clients must send; empty: none
  size_t most_waiting = 4096;
  size_t most_connections = 4096;
  size_t body_bytes = 16 << 20;
  double idle_timeout_s = 75;  // of a connection without a request, and of a write
};

class Server {
 public:
  // Binds the port. `model` and `engine` must outlive the server; nobody else may use the engine.
  static Result<std::unique_ptr<Server>> create(const ServeOptions& options,
                                                const LocalModel& model, LocalEngine& engine);
  ~Server();

  // The port that it is bound to.
  int port() const;
  // Serves until `stop` is set, or until the engine fails, which is the error.
  Status run(const std::atomic<bool>& stop);

 private:
  struct State;
  explicit Server(std::unique_ptr<State> state);
  std::unique_ptr<State> state_;
};

}  // namespace assay
