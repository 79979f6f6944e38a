#include "harness/divergence.h"

#include <fmt/format.h>
#include <spdlog/spdlog.h>

#include <algorithm>
#include <cmath>
#include <map>
#include <memory>

#include "engine/runtime/divergence.h"
#include "harness/base/boxed.h"
#include "harness/base/file.h"
#include "harness/base/resources.h"
#include "harness/base/text.h"
#include "harness/signals.h"

namespace assay {
namespace {

struct OpenedModel {
  std::unique_ptr<LocalModel> model;
  std::unique_ptr<LocalEngine> engine;
};

template <typename Enum, size_t kCount>
std::optional<Enum> named(const std::string_view (&names)[kCount], const std::string& name) {
  const auto found = std::find(std::begin(names), std::end(names), name);
  if (found == std::end(names)) return std::nullopt;
  return static_cast<Enum>(found - std::begin(names));
}

// The model of a run, computed with as the run did.
Result<OpenedModel> open_model_of(const ComparedRun& run) {
  std::string path = run.environment.value("model_path", std::string());
  if (path == "builtin") {
    ASSAY_TRY(path, find_resource("engine/builtin"));
  }
  if (!file_exists(path) && !is_directory(path)) {
    return Error{
        fmt::format("{}: its model {} is not there (any more); --kld and --text need the "
                    "models of all runs",
                    run.folder, path.empty() ? "is not known, or" : path)};
  }
  OpenedModel opened;
  ASSAY_TRY(opened.model, LocalModel::open(path));
  const std::string expected = run.model.value("weights_sha256", std::string());
  if (opened.model->files.weights_sha256() != expected) {
    return Error{fmt::format("{}: its model {} has changed since the run", run.folder, path)};
  }
  LocalEngineOptions options;
  options.device = run.model.value("device", std::string("cpu"));
  options.activations =
      named<Activations>(kActivationNames, run.model.value("activations", std::string()));
  options.kv_cache = named<KvType>(kKvTypeNames, run.model.value("kv_cache", std::string()));
  options.batch_size = 1;
  ASSAY_TRY(opened.engine, LocalEngine::create(*opened.model, options));
  return opened;
}

// What a part of the samples sums up to.
class Part {
 public:
  void add(const TokenDivergence& token) {
    kl_.push_back(static_cast<float>(token.kl));
    sum_ += token.kl;
    same_ += token.same_best ? 1 : 0;
    const double change = std::exp(token.other_logprob) - std::exp(token.base_logprob);
    change_ += change;
    change_squares_ += change * change;
  }

  DivergenceRow row(const std::string& name) {
    DivergenceRow row;
    row.part = name;
    row.tokens = static_cast<int64_t>(kl_.size());
    if (kl_.empty()) return row;
    std::sort(kl_.begin(), kl_.end());
    const double n = static_cast<double>(kl_.size());
    const auto at = [&](double share) {
      return double{kl_[static_cast<size_t>(std::max(0.0, std::ceil(share * n) - 1))]};
    };
    row.mean = sum_ / n;
    row.p50 = at(0.5);
    row.p90 = at(0.9);
    row.p99 = at(0.99);
    row.max = kl_.back();
    row.same_best = same_ / n;
    row.mean_change = change_ / n;
    row.rms_change = std::sqrt(change_squares_ / n);
    return row;
  }

 private:
  std::vector<float> kl_;
  double sum_ = 0, same_ = 0, change_ = 0, change_squares_ = 0;
};

// In the order of the table.
constexpr const char* kParts[] = {"all",   "thought", "answer", "box",
                                  "0k–1k", "1k–8k",   "8k–32k", "32k–"};

const char* position_part(size_t position) {
  return position < 1024    ? kParts[4]
         : position < 8192  ? kParts[5]
         : position < 32768 ? kParts[6]
                            : kParts[7];
}

// The tokens whose text touches the last box: [first, last).
std::pair<size_t, size_t> box_tokens(const Tokenizer& tokenizer, const Completion& completion) {
  std::string text;
  std::vector<size_t> ends;
  for (const int32_t token : completion.token_ids) {
    tokenizer.append_bytes(token, text);
    ends.push_back(text.size());
  }
  const auto box = last_boxed(text);
  if (!box) return {0, 0};
  const size_t begin = text.rfind("{" + *box + "}") + 1, end = begin + box->size();
  const auto first = std::upper_bound(ends.begin(), ends.end(), begin);
  const auto last = std::lower_bound(ends.begin(), ends.end(), end);
  return {static_cast<size_t>(first - ends.begin()),
          std::min(ends.size(), static_cast<size_t>(last - ends.begin()) + 1)};
}

Status compare_samples(RunStore& store, OpenedModel& base, OpenedModel& other,
                       const DivergenceOptions& options, ComparedRun& out) {
  ASSAY_TRY(const std::vector<StoredItem> items, store.items());
  std::map<std::pair<std::string, std::string>, const StoredItem*> by_id;
  for (const StoredItem& item : items) by_id[{item.item.suite, item.item.id}] = &item;
  std::map<std::string, Part> parts;
  std::map<std::pair<std::string, std::string>, int> taken;
  ASSAY_TRY_STATUS(store.for_each([&](const SampleRecord& record) -> Status {
    const Completion& completion = record.completion;
    const auto id = std::pair(completion.id.suite, completion.id.item_id);
    if (stop_requested() || completion.token_ids.empty() || taken[id] >= options.samples) return {};
    ++taken[id];
    const std::vector<int32_t>& prompt = by_id.at(id)->prompt.token_ids;
    if (prompt.empty()) return {};  // of a second turn, or not known
    const auto count =
        std::min(completion.token_ids.size(), static_cast<size_t>(options.max_tokens));
    const std::span<const int32_t> tokens(completion.token_ids.data(), count);
    ASSAY_TRY(const std::vector<TokenDivergence> divergence,
              compare_on(*base.engine, *other.engine, prompt, tokens));
    const auto box = box_tokens(base.model->tokenizer, completion);
    for (size_t i = 0; i < divergence.size(); ++i) {
      parts["all"].add(divergence[i]);
      const bool thought = i < static_cast<size_t>(completion.thought_tokens);
      parts[thought ? "thought" : "answer"].add(divergence[i]);
      if (i >= box.first && i < box.second) parts["box"].add(divergence[i]);
      parts[position_part(i)].add(divergence[i]);
    }
    return {};
  }));
  for (const char* name : kParts) {
    if (parts.contains(name)) out.divergence.push_back(parts[name].row(name));
  }
  if (out.divergence.empty()) {
    return Error{store.folder() + ": holds no samples with prompt and tokens to read"};
  }
  return {};
}

std::optional<int32_t> bos_of(const Tokenizer& tokenizer) {
  return tokenizer.adds_bos() ? tokenizer.bos() : std::nullopt;
}

Result<std::vector<int32_t>> text_tokens(const Tokenizer& tokenizer, const std::string& file) {
  ASSAY_TRY(const std::string text, read_file(file));
  std::vector<int32_t> tokens = tokenizer.encode(text, false);
  if (const auto bos = bos_of(tokenizer)) tokens.insert(tokens.begin(), *bos);
  if (tokens.size() < kPerplexityWindow) {
    return Error{
        fmt::format("{}: has {} tokens; a perplexity takes windows of {}, so give a longer "
                    "text",
                    file, tokens.size(), kPerplexityWindow)};
  }
  return tokens;
}

Status measure_text(OpenedModel& opened, const std::string& file, ComparedRun& out) {
  const Tokenizer& tokenizer = opened.model->tokenizer;
  ASSAY_TRY(const std::vector<int32_t> tokens, text_tokens(tokenizer, file));
  ASSAY_TRY(const Perplexity result, perplexity(*opened.engine, tokens, bos_of(tokenizer)));
  out.perplexity = result.value;
  out.perplexity_se = result.se;
  return {};
}

}  // namespace

Status check_divergence(const std::string& model, const DivergenceOptions& options) {
  std::string path = model;
  if (model == "builtin") {
    ASSAY_TRY(path, find_resource("engine/builtin"));
  }
  if (!file_exists(path) && !is_directory(path)) {
    return Error{fmt::format("{}: --kld and --text need a model's own files, which are not there",
                             quote_for_message(model))};
  }
  if (options.text.empty()) return {};
  ASSAY_TRY(const std::unique_ptr<LocalModel> opened, LocalModel::open(path));
  ASSAY_TRY(const std::vector<int32_t> tokens, text_tokens(opened->tokenizer, options.text));
  return {};
}

Status add_divergence(std::vector<RunStore>& stores, const DivergenceOptions& options,
                      Comparison& comparison) {
  const std::string& text = options.text;
  ASSAY_TRY(OpenedModel base, open_model_of(comparison.runs[0]));
  if (!text.empty()) {
    ASSAY_TRY_STATUS(measure_text(base, text, comparison.runs[0]));
  }
  for (size_t i = 1; i < comparison.runs.size(); ++i) {
    ComparedRun& run = comparison.runs[i];
    ASSAY_TRY(OpenedModel other, open_model_of(run));
    if (!text.empty()) {
      ASSAY_TRY_STATUS(measure_text(other, text, run));
    }
    if (options.samples > 0) {
      spdlog::info("reads the samples of {} with {} too", comparison.runs[0].name, run.name);
      ASSAY_TRY_STATUS(compare_samples(stores[0], base, other, options, run));
    }
  }
  return {};
}

}  // namespace assay
