#include "engine/remote/http.h"

#include <curl/curl.h>

#include <algorithm>
#include <cmath>
#include <cstdlib>
#include <unordered_map>

namespace assay {
namespace {

// A completion of 32,768 tokens is about 200 kB.
constexpr size_t kMaxBodyBytes = size_t{64} << 20;
constexpr long kConnectTimeoutMs = 10'000;

struct Transfer {
  uint64_t id = 0;
  CURL* easy = nullptr;
  curl_slist* headers = nullptr;
  HttpRequest request;
  HttpResponse response;
  char error[CURL_ERROR_SIZE] = {};

  ~Transfer() {
    curl_slist_free_all(headers);
    if (easy != nullptr) curl_easy_cleanup(easy);
  }
};

size_t take_body(char* data, size_t size, size_t count, void* user) {
  Transfer& transfer = *static_cast<Transfer*>(user);
  std::string& body = transfer.response.body;
  if (body.size() + size * count > kMaxBodyBytes) return 0;
  body.append(data, size * count);
  const auto& on_data = transfer.request.on_data;
  if (on_data && !on_data(std::string_view(data, size * count))) {
    transfer.response.ended_here = true;
    return 0;
  }
  return size * count;
}

size_t take_header(char* data, size_t size, size_t count, void* user) {
  const std::string line(data, size * count);
  const size_t colon = line.find(':');
  auto& headers = static_cast<Transfer*>(user)->response.headers;
  if (line.starts_with("HTTP/")) headers.clear();  // of a redirect or "100 Continue" before
  if (colon == std::string::npos || headers.size() > 200) return size * count;
  std::string name = line.substr(0, colon);
  for (char& c : name) c = static_cast<char>(c >= 'A' && c <= 'Z' ? c + 32 : c);
  const size_t begin = line.find_first_not_of(" \t", colon + 1);
  const size_t end = line.find_last_not_of(" \t\r\n");
  headers[name] =
      begin == std::string::npos || end < begin ? "" : line.substr(begin, end - begin + 1);
  return size * count;
}

// Whom to trust instead of the system's authorities, as curl takes it from the environment.
const char* authorities_file() {
  for (const char* name : {"CURL_CA_BUNDLE", "SSL_CERT_FILE"}) {
    if (const char* path = std::getenv(name); path != nullptr && *path != '\0') return path;
  }
  return nullptr;
}

}  // namespace

struct HttpClient::State {
  CURLM* multi = nullptr;
  std::unordered_map<CURL*, std::unique_ptr<Transfer>> transfers;

  ~State() {
    for (auto& [easy, transfer] : transfers) curl_multi_remove_handle(multi, easy);
    transfers.clear();
    if (multi != nullptr) curl_multi_cleanup(multi);
  }
};

HttpClient::HttpClient() : state_(std::make_unique<State>()) {}
HttpClient::HttpClient(HttpClient&&) noexcept = default;
HttpClient::~HttpClient() = default;

Result<HttpClient> HttpClient::create(int max_connections) {
  static const CURLcode global = curl_global_init(CURL_GLOBAL_DEFAULT);
  HttpClient client;
  client.state_->multi = global == CURLE_OK ? curl_multi_init() : nullptr;
  if (client.state_->multi == nullptr) return Error{"libcurl cannot be initialised"};
  curl_multi_setopt(client.state_->multi, CURLMOPT_MAXCONNECTS, static_cast<long>(max_connections));
  return client;
}

void HttpClient::start(uint64_t id, HttpRequest request) {
  auto transfer = std::make_unique<Transfer>();
  transfer->id = id;
  transfer->request = std::move(request);
  CURL* easy = transfer->easy = curl_easy_init();
  const HttpRequest& r = transfer->request;
  for (const std::string& header : r.headers) {
    transfer->headers = curl_slist_append(transfer->headers, header.c_str());
  }
  curl_easy_setopt(easy, CURLOPT_URL, r.url.c_str());
  curl_easy_setopt(easy, CURLOPT_PROTOCOLS_STR, "http,https");
  curl_easy_setopt(easy, CURLOPT_HTTPHEADER, transfer->headers);
  curl_easy_setopt(easy, CURLOPT_HTTP_VERSION, static_cast<long>(CURL_HTTP_VERSION_2TLS));
  // Over TLS requests wait for the first connection, which may carry all of them.
  if (r.url.starts_with("https:")) curl_easy_setopt(easy, CURLOPT_PIPEWAIT, 1L);
  if (const char* path = authorities_file()) curl_easy_setopt(easy, CURLOPT_CAINFO, path);
  curl_easy_setopt(easy, CURLOPT_NOSIGNAL, 1L);
  curl_easy_setopt(easy, CURLOPT_CONNECTTIMEOUT_MS, kConnectTimeoutMs);
  curl_easy_setopt(easy, CURLOPT_TIMEOUT_MS, std::lround(1000 * r.timeout_s));
  curl_easy_setopt(easy, CURLOPT_ERRORBUFFER, transfer->error);
  curl_easy_setopt(easy, CURLOPT_WRITEFUNCTION, take_body);
  curl_easy_setopt(easy, CURLOPT_WRITEDATA, transfer.get());
  curl_easy_setopt(easy, CURLOPT_HEADERFUNCTION, take_header);
  curl_easy_setopt(easy, CURLOPT_HEADERDATA, transfer.get());
  curl_easy_setopt(easy, CURLOPT_ACCEPT_ENCODING, "");
  if (!r.body.empty()) {
    curl_easy_setopt(easy, CURLOPT_POSTFIELDSIZE_LARGE, static_cast<curl_off_t>(r.body.size()));
    curl_easy_setopt(easy, CURLOPT_POSTFIELDS, r.body.data());
  }
  curl_multi_add_handle(state_->multi, easy);
  state_->transfers.emplace(easy, std::move(transfer));
}

std::vector<std::pair<uint64_t, HttpResponse>> HttpClient::poll(double wait_s) {
  std::vector<std::pair<uint64_t, HttpResponse>> finished;
  int running = 0, left = 0;
  curl_multi_perform(state_->multi, &running);
  if (static_cast<size_t>(running) == state_->transfers.size()) {
    curl_multi_poll(state_->multi, nullptr, 0, static_cast<int>(std::lround(1000 * wait_s)),
                    nullptr);
    curl_multi_perform(state_->multi, &running);
  }
  while (const CURLMsg* message = curl_multi_info_read(state_->multi, &left)) {
    if (message->msg != CURLMSG_DONE) continue;
    CURL* easy = message->easy_handle;
    const CURLcode result = message->data.result;
    const auto found = state_->transfers.find(easy);
    Transfer& transfer = *found->second;
    HttpResponse response = std::move(transfer.response);
    if (result == CURLE_OK || response.ended_here) {
      long status = 0;
      curl_easy_getinfo(easy, CURLINFO_RESPONSE_CODE, &status);
      response.status = static_cast<int>(status);
    } else {
      response.status = 0;
      response.error = transfer.error[0] != 0 ? transfer.error : curl_easy_strerror(result);
    }
    finished.emplace_back(transfer.id, std::move(response));
    curl_multi_remove_handle(state_->multi, easy);
    state_->transfers.erase(found);
  }
  return finished;
}

size_t HttpClient::in_flight() const { return state_->transfers.size(); }

Result<HttpResponse> http_fetch(HttpRequest request) {
  ASSAY_TRY(HttpClient client, HttpClient::create(1));
  client.start(0, std::move(request));
  while (true) {
    auto finished = client.poll(1);
    if (!finished.empty()) return std::move(finished.front().second);
  }
}

}  // namespace assay
