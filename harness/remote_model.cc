#include "harness/remote_model.h"

#include <fmt/format.h>

#include <algorithm>

#include "engine/remote/remote_engine.h"
#include "harness/base/hash.h"
#include "harness/base/resources.h"
#include "harness/base/text.h"

namespace assay {
namespace {

class RemoteModel : public ModelUnderTest {
 public:
  RemoteModel(std::string name, ServerProfile profile, bool prefills, OrderedJson servers,
              std::unique_ptr<RemoteEngine> engine)
      : name_(std::move(name)),
        profile_(std::move(profile)),
        prefills_(prefills),
        servers_(std::move(servers)),
        engine_(std::move(engine)) {}

  std::string name() const override { return name_; }
  // Where the servers are does not decide the tokens.
  OrderedJson identity() const override {
    return {{"name", name_},
            {"server_model", name_},
            {"api", "chat"},
            {"server_profile", profile_.name},
            {"think", prefills_ ? "prefill" : "server"}};
  }
  OrderedJson facts() const override { return {{"servers", servers_}}; }
  OrderedJson learned() const override {
    if (engine_->fingerprint().empty()) return OrderedJson::object();
    return {{"system_fingerprint", engine_->fingerprint()}};
  }

  // The text is the messages as JSON: the server has the template.
  Result<Prompt> prompt(const Suite& suite, const Item& item, int sample_index,
                        const std::vector<std::string>& history) const override {
    OrderedJson messages = OrderedJson::array();
    const std::string user = render_user_prompt(suite, item, sample_index);
    for (const ChatMessage& message : chat_messages(suite, user, history)) {
      messages.push_back({{"role", message.role}, {"content", message.content}});
    }
    Prompt prompt;
    if (prefills_ && suite.think) {
      messages.push_back({{"role", "assistant"}, {"content", "<think>\n"}});
      prompt.opens_thought = true;
    }
    prompt.text = dump_json(messages);
    return prompt;
  }

  Engine& engine() override { return *engine_; }

 protected:
  std::string name_;
  ServerProfile profile_;
  bool prefills_;
  OrderedJson servers_;
  std::unique_ptr<RemoteEngine> engine_;
};

// Prompts are rendered here, by a tokenizer and template that this machine has, and sent as they
// are.
class RenderedRemoteModel : public RemoteModel {
 public:
  RenderedRemoteModel(std::string name, ServerProfile profile, Thinking thinking,
                      OrderedJson servers, PromptFormat format,
                      std::unique_ptr<RemoteEngine> engine)
      : RemoteModel(std::move(name), std::move(profile), false, std::move(servers),
                    std::move(engine)),
        thinking_(thinking),
        format_(std::move(format)) {}

  OrderedJson identity() const override {
    return {{"name", name_},
            {"server_model", name_},
            {"api", profile_.token_prompts ? "completions of tokens" : "completions of text"},
            {"server_profile", profile_.name},
            {"tokenizer_sha256", format_.tokenizer.sha256()},
            {"template_sha256", sha256_hex(format_.tokenizer.chat_template())},
            {"think", thinking_ == Thinking::kOff  ? "off"
                      : thinking_ == Thinking::kOn ? "on"
                                                   : "auto"}};
  }

  Result<Prompt> prompt(const Suite& suite, const Item& item, int sample_index,
                        const std::vector<std::string>& history) const override {
    return render_prompt(format_, suite, item, sample_index, history, thinking_);
  }

 private:
  Thinking thinking_;
  PromptFormat format_;
};

struct Address {
  std::string url, model;
};

Result<Address> parse_address(const std::string& text) {
  Address address;
  const size_t hash = text.find('#');
  address.url = text.substr(0, hash);
  if (hash != std::string::npos) address.model = text.substr(hash + 1);
  while (address.url.ends_with('/')) address.url.pop_back();
  if (address.url.find('@') != std::string::npos) {
    return Error{
        "--model: a key does not belong into the URL, where it would be stored; put it into "
        "ASSAY_API_KEY"};
  }
  return address;
}

// The name of the only model of a server.
Result<std::string> only_model(const Json& models, const std::string& url) {
  std::vector<std::string> names;
  if (models.is_object() && models.contains("data") && models["data"].is_array()) {
    for (const Json& model : models["data"]) {
      if (model.is_object() && model.contains("id") && model["id"].is_string()) {
        names.push_back(model["id"].get<std::string>());
      }
    }
  }
  if (names.size() == 1) return names.front();
  return Error{fmt::format("--model {}: name the model behind the URL, as {}#NAME{}", url, url,
                           names.empty() ? "" : "; it has " + join(names, ", "))};
}

}  // namespace

bool is_url(const std::string& name) {
  return name.starts_with("http://") || name.starts_with("https://");
}

Result<std::unique_ptr<ModelUnderTest>> open_remote_model(const RunOptions& options,
                                                          Thinking thinking) {
  RemoteOptions remote;
  remote.api_key = api_key_from_environment();
  remote.max_connections = options.max_connections;
  remote.requests_per_minute = options.requests_per_minute;
  remote.timeout_s = options.request_timeout_s;
  remote.stream = options.stream;
  remote.samples_per_request = options.samples_per_request;
  if (options.samples_per_request < 1 || options.samples_per_request > 1024) {
    return Error{fmt::format("--samples-per-request {}: must be from 1 to 1024",
                             options.samples_per_request)};
  }
  OrderedJson servers = OrderedJson::array();
  std::string profile = options.server_profile;
  for (const std::string& part : split(options.model, ',')) {
    ASSAY_TRY(const Address address, parse_address(std::string(trim(part))));
    ASSAY_TRY(const ServerModels found, fetch_models(address.url, remote.api_key));
    std::string model = address.model;
    if (model.empty()) {
      ASSAY_TRY(model, only_model(found.models, address.url));
    }
    if (!remote.model.empty() && remote.model != model) {
      return Error{fmt::format("--model: the servers have different models, {} and {}",
                               remote.model, model)};
    }
    remote.model = model;
    remote.urls.push_back(address.url);
    if (profile == "auto") profile = guess_profile(found.models, found.headers, address.url);
    const auto server = found.headers.find("server");
    servers.push_back(
        {{"url", address.url}, {"server", server == found.headers.end() ? "" : server->second}});
  }
  ASSAY_TRY(remote.profile, find_profile(profile));
  if (!options.template_of.empty()) {
    std::string path = options.template_of;
    if (path == "builtin") {
      ASSAY_TRY(path, find_resource("engine/builtin"));
    }
    ASSAY_TRY(PromptFormat format, PromptFormat::open(path));
    remote.text = true;
    remote.bos = format.tokenizer.token_text(format.tokenizer.bos());
    const std::string name = remote.model;
    const ServerProfile used = remote.profile;
    ASSAY_TRY(std::unique_ptr<RemoteEngine> engine, RemoteEngine::create(std::move(remote)));
    return std::unique_ptr<ModelUnderTest>(new RenderedRemoteModel(
        name, used, thinking, std::move(servers), std::move(format), std::move(engine)));
  }
  const bool prefills = thinking == Thinking::kOn;
  if (prefills && remote.profile.prefill.empty()) {
    return Error{
        fmt::format("--think on: {} servers cannot be told how a response begins; leave it "
                    "out, and the server's template decides",
                    profile)};
  }
  const std::string name = remote.model;
  const ServerProfile used = remote.profile;
  ASSAY_TRY(std::unique_ptr<RemoteEngine> engine, RemoteEngine::create(std::move(remote)));
  return std::unique_ptr<ModelUnderTest>(
      new RemoteModel(name, used, prefills, std::move(servers), std::move(engine)));
}

}  // namespace assay
