#include "engine/remote/remote_engine.h"

#include <fmt/format.h>

#include <algorithm>
#include <charconv>
#include <cmath>
#include <cstdlib>
#include <deque>
#include <map>
#include <utility>

#include "harness/base/clock.h"
#include "harness/base/text.h"

namespace assay {
namespace {

constexpr double kLongestDelay = 60, kLongestRetryAfter = 600, kLongestPause = 15;

bool may_pass(int status) {
  return status == 408 || status == 425 || status == 429 || (status >= 500 && status != 501);
}

// Seconds that Retry-After asks for; 0 without it. Its other form, a date, is taken as a minute.
double retry_after_s(const HttpResponse& response) {
  const auto found = response.headers.find("retry-after");
  if (found == response.headers.end()) return 0;
  double seconds = 0;
  const char* end = found->second.data() + found->second.size();
  const auto [parsed, code] = std::from_chars(found->second.data(), end, seconds);
  if (code != std::errc() || !(seconds >= 0)) return 60;
  return std::min(seconds, kLongestRetryAfter);
}

// The seed of a sample on a server, whose own generator takes it.
uint32_t seed_of(const Request& request) {
  const PhiloxCounter bits =
      philox4x32_10({static_cast<uint32_t>(request.id.sample_index), 0, 0, 4}, request.key);
  return bits[0] & 0x7FFFFFFF;
}

}  // namespace

std::string api_key_from_environment() {
  for (const char* name : {"ASSAY_API_KEY", "OPENAI_API_KEY"}) {
    if (const char* key = std::getenv(name); key != nullptr && *key != 0) return key;
  }
  return {};
}

Result<ServerModels> fetch_models(const std::string& url, const std::string& api_key) {
  HttpRequest request;
  request.url = url + "/models";
  request.timeout_s = 30;
  if (!api_key.empty()) request.headers.push_back("Authorization: Bearer " + api_key);
  ASSAY_TRY(HttpResponse response, http_fetch(std::move(request)));
  if (response.status == 0) {
    return Error{fmt::format("{}: no answer ({}); is the server running?", url, response.error)};
  }
  if (response.status == 401 || response.status == 403) {
    return Error{fmt::format("{}: {} {}; put the key into ASSAY_API_KEY", url, response.status,
                             error_message(response.body))};
  }
  ServerModels out;
  out.headers = std::move(response.headers);
  if (response.status == 200) {
    const auto json = parse_json(response.body, url);
    if (json.ok()) out.models = *json;
  }
  return out;
}

Result<std::unique_ptr<RemoteEngine>> RemoteEngine::create(RemoteOptions options) {
  if (options.max_connections < 1 || options.max_connections > 10'000) {
    return Error{
        fmt::format("--max-connections {}: must be from 1 to 10000", options.max_connections)};
  }
  if (!(options.timeout_s > 0) || !(options.requests_per_minute >= 0)) {
    return Error{"--request-timeout and --requests-per-minute must be positive"};
  }
  std::unique_ptr<RemoteEngine> engine(new RemoteEngine(std::move(options)));
  engine->servers_.resize(engine->options_.urls.size());
  return engine;
}

std::optional<size_t> RemoteEngine::free_server(double now_s) const {
  std::optional<size_t> best;
  double most = 0;
  for (size_t i = 0; i < servers_.size(); ++i) {
    const Server& server = servers_[i];
    const double room = std::floor(server.limit) - server.in_flight;
    if (server.not_before_s > now_s || room < 1) continue;
    // The fuller in proportion gets the next one, so that servers work at their own speeds.
    const double share = room / server.limit;
    if (!best || share > most) {
      best = i;
      most = share;
    }
  }
  return best;
}

void RemoteEngine::send(HttpClient& client, uint64_t id, Pending& pending, size_t server) {
  HttpRequest http;
  const Request& first = pending.requests.front();
  BodyOptions body;
  body.text = options_.text;
  body.bos = options_.bos;
  body.stream = options_.stream;
  body.n = static_cast<int>(pending.requests.size());
  body.seed = seed_of(first);
  http.url = options_.urls[server] + (options_.text ? "/completions" : "/chat/completions");
  http.body = request_body(options_.profile, options_.model, first, body);
  if (options_.stream) {
    // An event is a token or more. A server that does not keep the limit is cut off.
    http.on_data = [events = 0,
                    most = first.sampling->max_tokens + 64](std::string_view bytes) mutable {
      for (size_t at = 0; (at = bytes.find("data:", at)) != std::string_view::npos; at += 5) {
        ++events;
      }
      return events <= most;
    };
  }
  http.headers = {"Content-Type: application/json", "Expect:"};
  if (!options_.api_key.empty()) {
    http.headers.push_back("Authorization: Bearer " + options_.api_key);
  }
  http.timeout_s = options_.timeout_s;
  pending.server = server;
  ++pending.attempts;
  ++servers_[server].in_flight;
  client.start(id, std::move(http));
}

Status RemoteEngine::delay(Pending& pending, const std::string& why, double wait_s, double now_s) {
  if (pending.attempts >= options_.max_attempts) {
    return Error{
        fmt::format("{}: after {} attempts at {} {} #{}: {}; what was finished is stored, run "
                    "the same command again to go on",
                    options_.urls[pending.server], pending.attempts, pending.requests[0].id.suite,
                    pending.requests[0].id.item_id, pending.requests[0].id.sample_index, why)};
  }
  const double grown =
      std::min(kLongestDelay, options_.first_delay_s * std::pow(2, pending.attempts - 1));
  // Spread, so that what failed together does not come back together.
  const double u = philox_uniform({static_cast<uint32_t>(pending.requests[0].id.sample_index),
                                   static_cast<uint32_t>(pending.attempts), 0, 5},
                                  pending.requests[0].key);
  pending.not_before_s = now_s + std::max(wait_s, grown * (0.5 + u));
  return {};
}

Result<std::vector<Completion>> RemoteEngine::finish(Pending& pending, const HttpResponse& response,
                                                     double now_s) {
  Server& server = servers_[pending.server];
  --server.in_flight;
  const auto again = [&](const std::string& why, double wait_s) -> Result<std::vector<Completion>> {
    ASSAY_TRY_STATUS(delay(pending, why, wait_s, now_s));
    return std::vector<Completion>();
  };
  if (response.status == 0) {
    // Others can have the work meanwhile. What was in flight together fails together, and counts
    // once.
    if (server.not_before_s <= now_s) {
      ++server.failures;
      server.not_before_s = now_s + std::min(kLongestPause, options_.first_delay_s *
                                                                std::pow(2, server.failures - 1));
    }
    return again(response.error, 0);
  }
  if (may_pass(response.status)) {
    const double wait_s = retry_after_s(response);
    if (response.status == 429 || response.status == 503) {
      server.limit = std::max(1.0, server.limit / 2);
      server.not_before_s = std::max(server.not_before_s, now_s + wait_s);
    }
    return again(fmt::format("{} {}", response.status, error_message(response.body)), wait_s);
  }
  if (response.status != 200) {
    return Error{fmt::format("{}: {} {}", options_.urls[pending.server], response.status,
                             error_message(response.body))};
  }
  const ReplyForm form{options_.text, pending.requests[0].prompt->opens_thought};
  std::vector<ServerReply> replies;
  if (options_.stream) {
    auto reply = parse_stream(response.body, form, response.ended_here);
    if (!reply.ok()) return again(reply.error().message, 0);
    replies.push_back(std::move(reply).value());
  } else {
    auto parsed = parse_replies(response.body, form);
    if (!parsed.ok()) return again(parsed.error().message, 0);
    replies = std::move(parsed).value();
  }
  server.failures = 0;
  server.limit = std::min<double>(options_.max_connections, server.limit + 1);
  if (!replies[0].fingerprint.empty()) fingerprint_ = replies[0].fingerprint;
  std::vector<Completion> completions;
  for (size_t i = 0; i < std::min(replies.size(), pending.requests.size()); ++i) {
    completions.push_back(completion_of(pending.requests[i], std::move(replies[i])));
  }
  return completions;
}

Completion RemoteEngine::completion_of(const Request& request, ServerReply reply) const {
  Completion completion;
  completion.id = request.id;
  completion.text = std::move(reply.text);
  completion.finish_reason = reply.finish_reason;
  completion.prompt_tokens = reply.prompt_tokens;
  completion.counted_tokens = reply.completion_tokens;
  completion.opens_thought = request.prompt->opens_thought;
  // By its share of the characters: the server's tokens are not known.
  const size_t end = completion.text.rfind("</think>");
  const bool thought =
      completion.opens_thought || completion.text.find("<think>") != std::string::npos;
  if (thought && !completion.text.empty()) {
    const size_t length = end == std::string::npos ? completion.text.size() : end + 8;
    completion.thought_tokens = static_cast<int>(
        std::lround(static_cast<double>(completion.counted_tokens) * static_cast<double>(length) /
                    static_cast<double>(completion.text.size())));
  }
  return completion;
}

std::optional<RemoteEngine::Pending> RemoteEngine::take(RequestSource& source) {
  std::optional<Request> next = ahead_ ? std::exchange(ahead_, std::nullopt) : source.next();
  if (!next) return std::nullopt;
  Pending pending;
  pending.requests.push_back(std::move(*next));
  const int most = options_.stream || !options_.profile.n ? 1 : options_.samples_per_request;
  while (static_cast<int>(pending.requests.size()) < most) {
    ahead_ = source.next();
    const Request& last = pending.requests.back();
    const bool follows = ahead_ && ahead_->prompt == last.prompt &&
                         ahead_->sampling == last.sampling && ahead_->key == last.key &&
                         ahead_->id.sample_index == last.id.sample_index + 1;
    if (!follows) break;
    pending.requests.push_back(std::move(*ahead_));
    ahead_.reset();
  }
  return pending;
}

Status RemoteEngine::generate(RequestSource& source, CompletionSink& sink,
                              const std::atomic<bool>& stop) {
  ASSAY_TRY(HttpClient client, HttpClient::create(options_.max_connections));
  for (Server& server : servers_) server.in_flight = 0;
  ahead_.reset();
  std::map<uint64_t, Pending> in_flight;
  std::deque<Pending> waiting;
  uint64_t next_id = 0;
  bool more = true;
  while (!stop) {
    double now_s = monotonic_s();
    while (static_cast<int>(in_flight.size()) < options_.max_connections && now_s >= next_send_s_) {
      const std::optional<size_t> server = free_server(now_s);
      if (!server) break;
      const auto ready = std::find_if(waiting.begin(), waiting.end(), [&](const Pending& pending) {
        return pending.not_before_s <= now_s;
      });
      Pending pending;
      if (ready != waiting.end()) {
        pending = std::move(*ready);
        waiting.erase(ready);
      } else {
        // What failed is finished first: it is bounded by what is in flight.
        if (!more || waiting.size() >= static_cast<size_t>(options_.max_connections)) break;
        std::optional<Pending> taken = take(source);
        if (!taken) {
          more = false;
          break;
        }
        pending = std::move(*taken);
      }
      Pending& kept = in_flight[next_id] = std::move(pending);
      send(client, next_id++, kept, *server);
      if (options_.requests_per_minute > 0) {
        next_send_s_ = std::max(next_send_s_, now_s) + 60 / options_.requests_per_minute;
      }
    }
    stats_.active_sequences = in_flight.size();
    if (in_flight.empty() && waiting.empty() && !more) break;
    for (auto& [id, response] : client.poll(0.05)) {
      const auto found = in_flight.find(id);
      Pending pending = std::move(found->second);
      in_flight.erase(found);
      now_s = monotonic_s();
      ASSAY_TRY(std::vector<Completion> completions, finish(pending, response, now_s));
      if (completions.size() < pending.requests.size()) {
        pending.requests.erase(
            pending.requests.begin(),
            pending.requests.begin() + static_cast<std::ptrdiff_t>(completions.size()));
        waiting.push_back(std::move(pending));
      }
      for (Completion& completion : completions) {
        ++stats_.steps;
        stats_.generated_tokens += static_cast<uint64_t>(completion.counted_tokens);
        stats_.prefill_tokens += static_cast<uint64_t>(completion.prompt_tokens);
        ASSAY_TRY_STATUS(sink.accept(std::move(completion)));
      }
    }
  }
  stats_.active_sequences = 0;
  return {};
}

}  // namespace assay
