#include "harness/serve/server.h"

#include <fmt/format.h>
#include <spdlog/spdlog.h>
#include <sys/socket.h>

#include <boost/asio/awaitable.hpp>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/detached.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/post.hpp>
#include <boost/asio/redirect_error.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <boost/beast/core.hpp>
#include <boost/beast/http.hpp>
#include <chrono>
#include <ctime>
#include <map>
#include <set>
#include <thread>

#include "harness/base/build_info.h"
#include "harness/base/clock.h"
#include "harness/base/text.h"
#include "harness/serve/answers.h"
#include "harness/serve/board.h"
#include "harness/serve/protocol.h"

namespace assay {
namespace {

namespace asio = boost::asio;
namespace beast = boost::beast;
namespace http = beast::http;
using asio::ip::tcp;
using boost::system::error_code;
using HttpRequest = http::request<http::string_body>;
using HttpResponse = http::response<http::string_body>;

std::chrono::milliseconds milliseconds(double seconds) {
  return std::chrono::milliseconds(static_cast<int64_t>(1000 * seconds));
}

// Compares without telling by its time how much is right.
bool same_secret(std::string_view a, std::string_view b) {
  unsigned difference = a.size() == b.size() ? 0 : 1;
  for (size_t i = 0; i < a.size(); ++i) {
    difference |= static_cast<unsigned char>(a[i]) ^
                  static_cast<unsigned char>(b.empty() ? '\0' : b[i % b.size()]);
  }
  return difference == 0;
}

// Wakes a connection's coroutine from the engine's thread.
class Bell : public std::enable_shared_from_this<Bell> {
 public:
  explicit Bell(asio::any_io_executor executor) : executor_(executor), timer_(executor) {}

  // From any thread.
  void ring() {
    if (rung_.exchange(true)) return;
    asio::post(executor_, [self = shared_from_this()] { self->timer_.cancel(); });
  }
  // Until it has rung since the last time, or for so long.
  asio::awaitable<void> wait(double most_s) {
    if (!rung_) {
      timer_.expires_after(milliseconds(most_s));
      error_code cancelled;
      co_await timer_.async_wait(asio::redirect_error(asio::use_awaitable, cancelled));
    }
    rung_ = false;
  }

 private:
  asio::any_io_executor executor_;
  asio::steady_timer timer_;
  std::atomic<bool> rung_{false};
};

}  // namespace

struct Server::State {
  State(const ServeOptions& given, const LocalModel& served, LocalEngine& local)
      : options(given),
        model(served),
        engine(local),
        board(given.most_waiting),
        acceptor(context),
        fingerprint(fmt::format("assay-{}-{}", build_info().version,
                                served.files.weights_sha256().substr(0, 8))) {}

  ServeOptions options;
  const LocalModel& model;
  LocalEngine& engine;
  asio::io_context context{1};
  RequestBoard board;
  tcp::acceptor acceptor;
  std::string fingerprint;
  const double started_s = monotonic_s();
  AnswerMaker maker{model, board};
  std::atomic<bool> engine_failed{false};
  // Of the connections' thread.
  size_t connections = 0;
  int64_t answers = 0;
  std::map<std::pair<std::string, unsigned>, int64_t> requests;  // by path and status
  double request_seconds = 0;
  int64_t cancelled = 0;

  void count(std::string_view target, http::status status);
  Status bind();
  asio::awaitable<void> accept_all();
  asio::awaitable<void> converse(tcp::socket socket);
  // False: the connection is to be closed.
  asio::awaitable<bool> answer(beast::tcp_stream& stream, const HttpRequest& request);
  asio::awaitable<bool> complete(beast::tcp_stream& stream, const HttpRequest& request, bool chat);
  asio::awaitable<bool> send(beast::tcp_stream& stream, const HttpRequest& request,
                             http::status status, std::string body,
                             const char* type = "application/json");
  asio::awaitable<bool> send_whole(beast::tcp_stream& stream, const HttpRequest& request,
                                   const AnswerHead& head, std::vector<Making>& making,
                                   const std::shared_ptr<Bell>& bell);
  asio::awaitable<bool> send_stream(beast::tcp_stream& stream, const HttpRequest& request,
                                    const ServeRequest& asked, const AnswerHead& head,
                                    std::vector<Making>& making, const std::shared_ptr<Bell>& bell);
  std::string metrics() const;
  std::string models() const;
};

namespace {

// Whether the client has closed its side; what it may have sent stays there.
bool is_gone(beast::tcp_stream& stream) {
  char byte = 0;
  const ssize_t count = ::recv(stream.socket().native_handle(), &byte, 1, MSG_PEEK | MSG_DONTWAIT);
  return count == 0 || (count < 0 && errno != EAGAIN && errno != EWOULDBLOCK && errno != EINTR);
}

}  // namespace

Status Server::State::bind() {
  error_code code;
  const asio::ip::address address = asio::ip::make_address(options.host, code);
  if (code) {
    return Error{fmt::format("--host {}: must be an address, as 127.0.0.1 or 0.0.0.0",
                             quote_for_message(options.host))};
  }
  const tcp::endpoint endpoint(address, static_cast<unsigned short>(options.port));
  acceptor.open(endpoint.protocol(), code);
  if (!code) acceptor.set_option(tcp::acceptor::reuse_address(true), code);
  if (!code) acceptor.bind(endpoint, code);
  if (!code) acceptor.listen(tcp::acceptor::max_listen_connections, code);
  if (!code) return {};
  return Error{fmt::format("--host {} --port {}: cannot be listened on: {}", options.host,
                           options.port, code.message())};
}

asio::awaitable<void> Server::State::accept_all() {
  while (acceptor.is_open()) {
    error_code code;
    tcp::socket socket =
        co_await acceptor.async_accept(asio::redirect_error(asio::use_awaitable, code));
    if (code == asio::error::operation_aborted) co_return;
    if (code) {  // no descriptors are left, perhaps
      asio::steady_timer pause(context, std::chrono::milliseconds(50));
      co_await pause.async_wait(asio::redirect_error(asio::use_awaitable, code));
      continue;
    }
    if (connections >= options.most_connections) continue;  // it is closed
    ++connections;
    asio::co_spawn(context, converse(std::move(socket)),
                   [this](std::exception_ptr) { --connections; });
  }
}

asio::awaitable<void> Server::State::converse(tcp::socket socket) {
  error_code code;
  socket.set_option(tcp::no_delay(true), code);
  beast::tcp_stream stream(std::move(socket));
  beast::flat_buffer buffer;
  for (bool goes_on = true; goes_on;) {
    http::request_parser<http::string_body> parser;
    parser.body_limit(options.body_bytes);
    parser.header_limit(64 << 10);
    stream.expires_after(milliseconds(options.idle_timeout_s));
    co_await http::async_read(stream, buffer, parser,
                              asio::redirect_error(asio::use_awaitable, code));
    if (code == http::error::body_limit || code == http::error::header_limit) {
      HttpRequest nothing;
      nothing.version(11);
      co_await send(stream, nothing, http::status::payload_too_large,
                    error_json(fmt::format("a body may have {} bytes", options.body_bytes),
                               "invalid_request_error"));
      break;
    }
    if (code) break;
    const HttpRequest request = parser.release();
    const double begun_s = monotonic_s();
    goes_on = co_await answer(stream, request) && request.keep_alive();
    request_seconds += monotonic_s() - begun_s;
  }
  stream.socket().shutdown(tcp::socket::shutdown_send, code);
}

void Server::State::count(std::string_view target, http::status status) {
  const std::string path(target.substr(0, target.find('?')));
  // What nobody serves is counted together, so that no client makes the list long.
  static const std::set<std::string, std::less<>> kKnown = {
      "/health", "/metrics", "/v1/models", "/v1/completions", "/v1/chat/completions"};
  ++requests[{kKnown.contains(path) ? path : "other", static_cast<unsigned>(status)}];
}

asio::awaitable<bool> Server::State::send(beast::tcp_stream& stream, const HttpRequest& request,
                                          http::status status, std::string body, const char* type) {
  count(std::string_view(request.target().data(), request.target().size()), status);
  HttpResponse response(status, request.version());
  response.set(http::field::server, "assay");
  response.set(http::field::content_type, type);
  if (status == http::status::too_many_requests) response.set(http::field::retry_after, "1");
  if (status == http::status::unauthorized) {
    response.set(http::field::www_authenticate, "Bearer");
  }
  response.keep_alive(request.keep_alive());
  response.body() = std::move(body);
  response.prepare_payload();
  stream.expires_after(milliseconds(options.idle_timeout_s));
  error_code code;
  co_await http::async_write(stream, response, asio::redirect_error(asio::use_awaitable, code));
  co_return !code;
}

asio::awaitable<bool> Server::State::answer(beast::tcp_stream& stream, const HttpRequest& request) {
  const std::string path(request.target().substr(0, request.target().find('?')));
  const auto refuse = [&](http::status status, const std::string& message) {
    return send(stream, request, status, error_json(message, "invalid_request_error"));
  };
  if (path == "/health") {
    co_return co_await send(stream, request,
                            engine_failed ? http::status::service_unavailable : http::status::ok,
                            engine_failed ? "{\"status\":\"failed\"}" : "{\"status\":\"ok\"}");
  }
  if (!options.api_key.empty()) {
    const std::string given(request[http::field::authorization]);
    if (!same_secret(given, "Bearer " + options.api_key)) {
      co_return co_await refuse(http::status::unauthorized,
                                "an API key is wanted: Authorization: Bearer …");
    }
  }
  const bool get = request.method() == http::verb::get;
  if (path == "/metrics" && get) {
    co_return co_await send(stream, request, http::status::ok, metrics(),
                            "text/plain; version=0.0.4; charset=utf-8");
  }
  if (path == "/v1/models" && get) {
    co_return co_await send(stream, request, http::status::ok, models());
  }
  const bool chat = path == "/v1/chat/completions";
  if (!chat && path != "/v1/completions") {
    co_return co_await refuse(http::status::not_found,
                              "there is /v1/chat/completions, /v1/completions, /v1/models, "
                              "/metrics and /health");
  }
  if (request.method() != http::verb::post) {
    co_return co_await refuse(http::status::method_not_allowed, "must be POST");
  }
  // A page in a browser cannot send this type to another site without asking it.
  if (!request[http::field::content_type].starts_with("application/json")) {
    co_return co_await refuse(http::status::unsupported_media_type,
                              "Content-Type must be application/json");
  }
  co_return co_await complete(stream, request, chat);
}

asio::awaitable<bool> Server::State::send_whole(beast::tcp_stream& stream,
                                                const HttpRequest& request, const AnswerHead& head,
                                                std::vector<Making>& making,
                                                const std::shared_ptr<Bell>& bell) {
  constexpr double kLookAfterClient_s = 0.25;
  for (Making& one : making) {
    while (!one.sample->finished()) {
      co_await bell->wait(kLookAfterClient_s);
      if (!is_gone(stream)) continue;
      cancel_all(making);
      ++cancelled;
      co_return false;
    }
    const Status status = maker.gather(one, head.logprobs);
    if (status.ok()) continue;
    cancel_all(making);
    co_return co_await send(stream, request, http::status::internal_server_error,
                            error_json(status.error().message, "server_error"));
  }
  std::vector<ServedChoice> choices;
  for (Making& one : making) choices.push_back(std::move(one.choice));
  co_return co_await send(stream, request, http::status::ok,
                          dump_json(answer_json(head, choices, maker.usage_of(making))));
}

asio::awaitable<bool> Server::State::send_stream(beast::tcp_stream& stream,
                                                 const HttpRequest& request,
                                                 const ServeRequest& asked, const AnswerHead& head,
                                                 std::vector<Making>& making,
                                                 const std::shared_ptr<Bell>& bell) {
  http::response<http::empty_body> start(http::status::ok, request.version());
  start.set(http::field::server, "assay");
  start.set(http::field::content_type, "text/event-stream; charset=utf-8");
  start.set(http::field::cache_control, "no-cache");
  start.keep_alive(request.keep_alive());
  start.chunked(true);
  http::response_serializer<http::empty_body> serializer(start);
  stream.expires_after(milliseconds(options.idle_timeout_s));
  error_code code;
  co_await http::async_write_header(stream, serializer,
                                    asio::redirect_error(asio::use_awaitable, code));
  count(std::string_view(request.target().data(), request.target().size()), http::status::ok);
  size_t left = making.size();
  while (!code && left > 0) {
    std::string events;
    for (Making& one : making) {
      if (one.done) continue;
      const Status status = maker.gather(one, head.logprobs);
      if (!status.ok()) {
        events += "data: " + error_json(status.error().message, "server_error") + "\n\n";
        left = 0;
        break;
      }
      if (one.choice.text.empty() && !one.done && (one.begun || !head.chat)) continue;
      events += "data: " + dump_json(chunk_json(head, one.choice, !one.begun)) + "\n\n";
      one.begun = true;
      one.choice.text.clear();
      one.choice.tokens.clear();
      left -= one.done ? 1 : 0;
    }
    if (left == 0) {
      const bool whole =
          std::all_of(making.begin(), making.end(), [](const Making& one) { return one.done; });
      if (whole && asked.include_usage) {
        events += "data: " + dump_json(usage_chunk_json(head, maker.usage_of(making))) + "\n\n";
      }
      if (whole) events += "data: [DONE]\n\n";
    }
    if (!events.empty()) {
      stream.expires_after(milliseconds(options.idle_timeout_s));
      co_await asio::async_write(stream, http::make_chunk(asio::buffer(events)),
                                 asio::redirect_error(asio::use_awaitable, code));
    }
    if (left > 0 && !code) {
      co_await bell->wait(0.25);
      if (is_gone(stream)) code = asio::error::connection_reset;
    }
  }
  cancel_all(making);
  if (code) {
    ++cancelled;
    co_return false;
  }
  co_await asio::async_write(stream, http::make_chunk_last(),
                             asio::redirect_error(asio::use_awaitable, code));
  co_return !code;
}

asio::awaitable<bool> Server::State::complete(beast::tcp_stream& stream, const HttpRequest& request,
                                              bool chat) {
  const auto asked = parse_serve_request(request.body(), chat);
  if (!asked.ok()) {
    co_return co_await send(stream, request, http::status::bad_request,
                            error_json(asked.error().message, "invalid_request_error"));
  }
  const auto bell = std::make_shared<Bell>(stream.get_executor());
  bool busy = false;
  auto making = maker.begin(
      *asked, [bell] { bell->ring(); }, &busy);
  if (!making.ok()) {
    co_return co_await send(stream, request, http::status::bad_request,
                            error_json(making.error().message, "invalid_request_error"));
  }
  if (engine_failed) {
    co_return co_await send(stream, request, http::status::service_unavailable,
                            error_json("the engine has failed", "server_error"));
  }
  if (busy) {
    co_return co_await send(
        stream, request, http::status::too_many_requests,
        error_json(fmt::format("{} samples wait already; try again", board.waiting()),
                   "rate_limit_error"));
  }
  AnswerHead head;
  head.chat = chat;
  head.logprobs = asked->logprobs;
  head.id = fmt::format("{}-{}", chat ? "chatcmpl" : "cmpl", ++answers);
  head.model = options.model_name;
  head.fingerprint = fingerprint;
  head.created = std::time(nullptr);
  if (asked->stream) {
    co_return co_await send_stream(stream, request, *asked, head, *making, bell);
  }
  co_return co_await send_whole(stream, request, head, *making, bell);
}

std::string Server::State::models() const {
  const OrderedJson model_json = {{"id", options.model_name},
                                  {"object", "model"},
                                  {"created", 0},
                                  {"owned_by", "assay"},
                                  {"max_model_len", model.files.config.context_length}};
  return dump_json(OrderedJson{{"object", "list"}, {"data", {model_json}}});
}

std::string Server::State::metrics() const {
  const EngineStats& stats = engine.stats();
  std::string out;
  const auto metric = [&](const char* name, const char* kind, const char* help, double value) {
    out += fmt::format("# HELP assay_{0} {2}\n# TYPE assay_{0} {1}\nassay_{0} {3}\n", name, kind,
                       help, value);
  };
  metric("generated_tokens_total", "counter", "Tokens of completions.",
         static_cast<double>(stats.generated_tokens));
  metric("prefill_tokens_total", "counter", "Prompt tokens that went through the model.",
         static_cast<double>(stats.prefill_tokens));
  metric("steps_total", "counter", "Steps of the batch.", static_cast<double>(stats.steps));
  metric("preemptions_total", "counter", "Sequences that gave up their pages.",
         static_cast<double>(stats.preemptions));
  metric("active_sequences", "gauge", "Sequences in the batch.",
         static_cast<double>(stats.active_sequences));
  metric("waiting_samples", "gauge", "Samples that wait for a slot.",
         static_cast<double>(board.waiting()));
  metric("connections", "gauge", "Open connections.", static_cast<double>(connections));
  metric("cancelled_requests_total", "counter", "Requests whose client went away.",
         static_cast<double>(cancelled));
  metric("request_seconds_sum", "counter", "Time from request to answer, all together.",
         request_seconds);
  metric("uptime_seconds", "gauge", "Since the start.", monotonic_s() - started_s);
  out +=
      "# HELP assay_requests_total Answers by path and status.\n"
      "# TYPE assay_requests_total counter\n";
  for (const auto& [key, count] : requests) {
    out += fmt::format("assay_requests_total{{path=\"{}\",code=\"{}\"}} {}\n", key.first,
                       key.second, count);
  }
  return out;
}

Server::Server(std::unique_ptr<State> state) : state_(std::move(state)) {}
Server::~Server() = default;

Result<std::unique_ptr<Server>> Server::create(const ServeOptions& options, const LocalModel& model,
                                               LocalEngine& engine) {
  auto state = std::make_unique<State>(options, model, engine);
  ASSAY_TRY_STATUS(state->bind());
  return std::unique_ptr<Server>(new Server(std::move(state)));
}

int Server::port() const { return state_->acceptor.local_endpoint().port(); }

Status Server::run(const std::atomic<bool>& stop) {
  State& state = *state_;
  Status generated;
  std::thread engine([&] {
    generated = state.engine.generate(state.board, state.board, stop);
    if (!generated.ok()) state.engine_failed = true;
    state.board.fail_all(generated.ok() ? "the server stops" : generated.error().message);
    asio::post(state.context, [&state] { state.acceptor.close(); });
  });
  asio::co_spawn(state.context, state.accept_all(), asio::detached);
  // Ends when the engine does; connections get a moment for their last answers.
  std::optional<double> until_s;
  while (!until_s || monotonic_s() < *until_s) {
    state.context.run_for(std::chrono::milliseconds(50));
    if (state.context.stopped()) state.context.restart();
    if (stop) state.board.close();
    if (!state.acceptor.is_open() && !until_s) until_s = monotonic_s() + 0.5;
  }
  engine.join();
  return generated;
}

}  // namespace assay
