// The one seam to HTTP: many requests in flight over libcurl's multi interface.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "harness/base/result.h"

namespace assay {

struct HttpRequest {
  std::string url;
  std::string body;                  // empty: GET, else POST
  std::vector<std::string> headers;  // "Name: value"
  double timeout_s = 60;
  // Sees the body's bytes as they come; false ends the transfer, which then counts as complete.
  std::function<bool(std::string_view)> on_data = {};
};

struct HttpResponse {
  int status = 0;  // 0: there is no answer, see `error`
  std::string body, error;
  std::map<std::string, std::string> headers;  // names in lower case
  bool ended_here = false;                     // by on_data
};

// Not thread-safe. Connections are kept and used again; HTTP/2 where a server over TLS offers it.
// CURL_CA_BUNDLE or SSL_CERT_FILE name a PEM file of authorities to trust instead of the system's;
// http_proxy, https_proxy and no_proxy are as curl has them.
class HttpClient {
 public:
  static Result<HttpClient> create(int max_connections);
  HttpClient(HttpClient&&) noexcept;
  ~HttpClient();  // gives up what is in flight

  void start(uint64_t id, HttpRequest request);
  // What has finished, waiting for at most `wait_s` until something has.
  std::vector<std::pair<uint64_t, HttpResponse>> poll(double wait_s);
  size_t in_flight() const;

 private:
  struct State;
  HttpClient();
  std::unique_ptr<State> state_;
};

// One request and its answer.
Result<HttpResponse> http_fetch(HttpRequest request);

}  // namespace assay
