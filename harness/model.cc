#include "harness/model.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <map>
#include <span>

#include "engine/replay/replay_engine.h"
#include "harness/base/file.h"
#include "harness/base/hash.h"
#include "harness/base/resources.h"
#include "harness/base/text.h"
#include "harness/completions.h"
#include "harness/prompt.h"
#include "harness/remote_model.h"

namespace assay {
namespace {

class LocalModelUnderTest : public ModelUnderTest {
 public:
  LocalModelUnderTest(std::string name, Thinking thinking, std::unique_ptr<LocalModel> model,
                      std::unique_ptr<LocalEngine> engine)
      : name_(std::move(name)),
        thinking_(thinking),
        model_(std::move(model)),
        engine_(std::move(engine)) {}

  std::string name() const override { return name_; }

  OrderedJson identity() const override {
    OrderedJson identity = {{"name", name_},
                            {"weights_sha256", model_->files.weights_sha256()},
                            {"tokenizer_sha256", model_->tokenizer.sha256()},
                            {"template_sha256", sha256_hex(model_->tokenizer.chat_template())},
                            {"think", thinking_ == Thinking::kOff  ? "off"
                                      : thinking_ == Thinking::kOn ? "on"
                                                                   : "auto"},
                            {"activations", engine_->activations()},
                            {"kv_cache", engine_->kv_cache()}};
    // Devices sum in orders of their own, so their tokens differ.
    if (engine_->device() != "cpu") identity["device"] = engine_->device();
    if (engine_->tensor_parallel() > 1) identity["tensor_parallel"] = engine_->tensor_parallel();
    if (engine_->cublaslt()) identity["gemm"] = "cublaslt";
    return identity;
  }

  OrderedJson facts() const override {
    const ModelSize size = model_->files.size();
    return {{"parameters", size.parameters},
            {"bits_per_weight", size.bits_per_weight()},
            {"file_bytes", size.file_bytes},
            {"weights_bytes", engine_->weights_bytes()},
            {"kv_bytes_per_token", engine_->kv_bytes_per_token()}};
  }

  Result<Prompt> prompt(const Suite& suite, const Item& item, int sample_index,
                        const std::vector<std::string>& history) const override {
    return render_prompt(*model_, suite, item, sample_index, history, thinking_);
  }

  Engine& engine() override { return *engine_; }
  LocalEngine* local_engine() override { return engine_.get(); }
  const LocalModel* local_model() const override { return model_.get(); }

 private:
  std::string name_;
  Thinking thinking_;
  std::unique_ptr<LocalModel> model_;  // before the engine, which refers to it
  std::unique_ptr<LocalEngine> engine_;
};

class ReplayedRun : public ModelUnderTest {
 public:
  ReplayedRun(RunStore store, std::string name, OrderedJson identity,
              std::map<std::pair<std::string, std::string>, Prompt> prompts)
      : store_(std::move(store)),
        name_(std::move(name)),
        identity_(std::move(identity)),
        prompts_(std::move(prompts)),
        engine_([this](const SampleId& id) -> Result<std::optional<Completion>> {
          ASSAY_TRY(std::optional<SampleRecord> record, store_.find(id));
          if (!record) return std::optional<Completion>();
          return std::optional<Completion>(std::move(record->completion));
        }) {}

  std::string name() const override { return name_; }
  OrderedJson identity() const override { return identity_; }

  Result<Prompt> prompt(const Suite& suite, const Item& item, int,
                        const std::vector<std::string>&) const override {
    const auto found = prompts_.find({suite.name, item.id});
    if (found == prompts_.end()) {
      return Error{
          fmt::format("{}: the replayed run has no question {} of {}; use the --tasks and "
                      "--limit it was made with",
                      store_.folder(), item.id, suite.name)};
    }
    return found->second;
  }

  Engine& engine() override { return engine_; }

 private:
  RunStore store_;
  std::string name_;
  OrderedJson identity_;
  std::map<std::pair<std::string, std::string>, Prompt> prompts_;
  ReplayEngine engine_;
};

class GivenCompletions : public ModelUnderTest {
 public:
  // `name`: of the model; empty: the file's.
  GivenCompletions(CompletionsFile file, std::string path, const std::string& name)
      : file_(std::move(file)),
        path_(std::move(path)),
        name_(name.empty() ? path_.substr(path_.rfind('/') + 1) : name),
        engine_([this](const SampleId& id) -> Result<std::optional<Completion>> {
          const std::vector<Completion>* all = file_.of(id.item_id);
          if (all == nullptr || id.sample_index >= static_cast<int>(all->size())) {
            return std::optional<Completion>();
          }
          Completion completion = (*all)[static_cast<size_t>(id.sample_index)];
          completion.id = id;
          return std::optional<Completion>(std::move(completion));
        }) {}

  std::string name() const override { return name_; }
  OrderedJson identity() const override {
    return {{"name", name()}, {"completions_sha256", file_.sha256()}};
  }

  Result<Prompt> prompt(const Suite& suite, const Item& item, int,
                        const std::vector<std::string>&) const override {
    if (file_.of(item.id) != nullptr) {
      Prompt prompt;  // without tokens; often nobody knows how it was asked
      prompt.text = file_.prompt_of(item.id);
      return prompt;
    }
    return Error{
        fmt::format("{}: no completion of question {} of {}; every question of the suite, "
                    "or of --limit, needs one",
                    path_, item.id, suite.name)};
  }

  Engine& engine() override { return engine_; }

 private:
  CompletionsFile file_;
  std::string path_, name_;
  ReplayEngine engine_;
};

std::optional<Thinking> parse_thinking(const std::string& text) {
  if (text == "auto") return Thinking::kAuto;
  if (text == "on") return Thinking::kOn;
  if (text == "off") return Thinking::kOff;
  return std::nullopt;
}

// The place of `name` among `names`, none for auto; an error names the flag and the choices.
template <typename Enum>
Result<std::optional<Enum>> parse_choice(const char* flag, const std::string& name,
                                         std::span<const std::string_view> names) {
  if (name == "auto") return std::optional<Enum>();
  const auto found = std::find(names.begin(), names.end(), name);
  if (found != names.end()) return std::optional(static_cast<Enum>(found - names.begin()));
  return Error{fmt::format("{} {}: must be auto or one of {}", flag, name, fmt::join(names, ", "))};
}

Result<std::unique_ptr<ModelUnderTest>> open_replay(const std::string& folder) {
  ASSAY_TRY(RunStore store, RunStore::open(folder, RunStore::Mode::kRead));
  ASSAY_TRY(const auto manifest, store.manifest());
  if (!manifest || !manifest->contains("identity") || !(*manifest)["identity"].contains("model")) {
    return Error{folder + ": the run was never started; there is nothing to replay"};
  }
  OrderedJson identity;
  const OrderedJson& model = (*manifest)["identity"]["model"];
  const std::string name = "replay of " + model.value("name", std::string("?"));
  identity["name"] = name;
  identity["replayed_identity_sha256"] = sha256_hex(dump_json((*manifest)["identity"]));
  ASSAY_TRY(std::vector<StoredItem> items, store.items());
  std::map<std::pair<std::string, std::string>, Prompt> prompts;
  for (StoredItem& stored : items) {
    prompts[{stored.item.suite, stored.item.id}] = std::move(stored.prompt);
  }
  return std::unique_ptr<ModelUnderTest>(
      new ReplayedRun(std::move(store), name, std::move(identity), std::move(prompts)));
}

}  // namespace

Status model_is_there(const std::string& flag, const std::string& name) {
  if (is_url(name)) return {};
  std::string path = name;
  if (name == "builtin") return {};
  if (name.starts_with("replay:")) path = name.substr(7);
  if (name.starts_with("completions:")) path = name.substr(12);
  if (is_directory(path) || file_exists(path)) return {};
  return Error{
      fmt::format("{} {}: there is no such file or folder; name a model folder, a .gguf file, a "
                  "server's URL or builtin",
                  flag, name)};
}

Result<std::unique_ptr<ModelUnderTest>> open_model(const RunOptions& options) {
  const std::string& name = options.model;
  if (name.empty()) return Error{"--model: name a model folder, a .gguf file or builtin"};
  if (name.starts_with("replay:")) return open_replay(name.substr(7));
  if (name.starts_with("completions:")) {
    const std::string file = name.substr(12);
    ASSAY_TRY(CompletionsFile completions, CompletionsFile::read(file));
    return std::unique_ptr<ModelUnderTest>(
        new GivenCompletions(std::move(completions), file, options.model_name));
  }
  ASSAY_TRY_STATUS(model_is_there("--model", name));
  const auto thinking = parse_thinking(options.think);
  if (!thinking) return Error{"--think " + options.think + ": must be auto, on or off"};
  if (is_url(name)) return open_remote_model(options, *thinking);
  std::string path = name;
  if (name == "builtin") {
    ASSAY_TRY(path, find_resource("engine/builtin"));
  }
  ASSAY_TRY(std::unique_ptr<LocalModel> model, LocalModel::open(path));
  LocalEngineOptions engine_options;
  engine_options.device = options.device;
  engine_options.threads = options.threads;
  engine_options.cpu_isa = options.cpu_isa;
  ASSAY_TRY(engine_options.activations,
            parse_choice<Activations>("--activations", options.activations, kActivationNames));
  ASSAY_TRY(engine_options.kv_cache,
            parse_choice<KvType>("--kv-cache", options.kv_cache, kKvTypeNames));
  engine_options.batch_size = options.batch_size;
  engine_options.kv_cache_gib = options.kv_cache_gib;
  engine_options.gpu_memory = options.gpu_memory;
  engine_options.tensor_parallel = options.tensor_parallel;
  engine_options.cublaslt = options.gemm == "cublaslt";
  ASSAY_TRY(std::unique_ptr<LocalEngine> engine, LocalEngine::create(*model, engine_options));
  const std::string shown = name == "builtin" ? name : model->files.name;
  return std::unique_ptr<ModelUnderTest>(
      new LocalModelUnderTest(shown, *thinking, std::move(model), std::move(engine)));
}

}  // namespace assay
