#include "harness/diagnosis.h"

#include <fmt/format.h>

#include <algorithm>
#include <map>

#include "harness/audit.h"
#include "harness/base/text.h"
#include "suites/suite.h"

namespace assay {
namespace {

struct Shares {
  double samples = 0, truncated = 0, thought_open = 0, no_answer = 0, unscored = 0, overlooked = 0;
  double doubled_bos = 0, system_prompt = 0, questions = 0;
};

// Texts that a template puts before the user's message by itself.
bool has_default_system_prompt(const std::string& prompt) {
  for (const char* known : {"You are Qwen", "You are a helpful", "You are an AI", "<<SYS>>",
                            "Cutting Knowledge Date"}) {
    if (prompt.find(known) != std::string::npos) return true;
  }
  return false;
}

Result<Shares> shares_of(RunStore& store, const SuiteOutcomes& suite) {
  Shares shares;
  ASSAY_TRY(const std::vector<StoredItem> items, store.items());
  std::map<std::string, const Item*> by_id;
  for (const StoredItem& stored : items) {
    if (stored.item.suite != suite.plan.suite) continue;
    by_id[stored.item.id] = &stored.item;
    const std::vector<int32_t>& ids = stored.prompt.token_ids;
    shares.questions += 1;
    shares.doubled_bos += ids.size() > 1 && ids[0] == ids[1] ? 1 : 0;
    shares.system_prompt += has_default_system_prompt(stored.prompt.text) ? 1 : 0;
  }
  ASSAY_TRY_STATUS(store.for_each([&](const SampleRecord& record) -> Status {
    const Completion& completion = record.completion;
    if (completion.id.suite != suite.plan.suite) return {};
    const auto item = by_id.find(completion.id.item_id);
    if (item == by_id.end()) return {};
    shares.samples += 1;
    const Verdict& verdict = record.verdict;
    if (verdict.correctness == Correctness::kUnscored) {
      shares.unscored += 1;
    } else if (completion.finish_reason == FinishReason::kLength) {
      shares.truncated += 1;
    } else if (verdict.rule == "thought_not_closed") {
      shares.thought_open += 1;
    } else if (!verdict.has_answer) {
      shares.no_answer += 1;
    }
    const bool wrong = verdict.correctness == Correctness::kIncorrect &&
                       completion.finish_reason == FinishReason::kStop &&
                       verdict.rule != "thought_not_closed";
    shares.overlooked += wrong && !audit_reason(*item->second, record).empty() ? 1 : 0;
    return {};
  }));
  return shares;
}

// Of the runs' settings, what is not as the suite publishes them.
void add_settings(const OrderedJson& task, const Suite& suite, const PublishedScore& score,
                  std::vector<Suspect>& out) {
  const double temperature = task.value("temperature", 0.0);
  if (temperature == 0 && suite.sampling.temperature > 0) {
    out.push_back({"greedy",
                   fmt::format("temperature 0 where {:g} is the protocol; reasoning models "
                               "repeat themselves then",
                               suite.sampling.temperature),
                   std::nullopt});
  } else if (temperature != suite.sampling.temperature ||
             task.value("top_p", 1.0) != suite.sampling.top_p) {
    out.push_back(
        {"sampling",
         fmt::format("temperature {:g}, top-p {:g} where {:g}, {:g} are the protocol", temperature,
                     task.value("top_p", 1.0), suite.sampling.temperature, suite.sampling.top_p),
         std::nullopt});
  }
  if (score.from != task.value("from", std::string()) ||
      score.to != task.value("to", std::string())) {
    const auto window = [](const std::string& from, const std::string& to) {
      return from.empty() && to.empty() ? std::string("all") : from + " to " + to;
    };
    out.push_back(
        {"other questions",
         fmt::format("questions of {} where {} were published",
                     window(task.value("from", std::string()), task.value("to", std::string())),
                     window(score.from, score.to)),
         std::nullopt});
  }
}

}  // namespace

Result<std::vector<Suspect>> diagnose(RunStore& store, const RunOutcomes& run,
                                      const SuiteOutcomes& outcomes, const PublishedScore& score,
                                      const Published& published, double sampling_se) {
  ASSAY_TRY(const Shares shares, shares_of(store, outcomes));
  ASSAY_TRY(const Suite suite, find_suite(outcomes.plan.suite));
  std::vector<Suspect> out;
  const auto add_share = [&](const char* name, double count, const std::string& detail) {
    if (count == 0) return;
    out.push_back({name,
                   fmt::format("{:.1f} % of the samples {}", 100 * count / shares.samples, detail),
                   count / shares.samples});
  };
  add_share("truncation", shares.truncated,
            fmt::format("were cut after {} tokens (--max-tokens; the suite has {})",
                        outcomes.plan.max_tokens, suite.sampling.max_tokens));
  add_share("thought not closed", shares.thought_open, "ended inside <think>");
  add_share("no answer", shares.no_answer, "ended without the answer that the scorer looks for");
  add_share("scorer disagreement", shares.overlooked,
            "have the right answer at their end, or several boxes, and count as wrong; see `assay "
            "score --audit`");
  add_share("unscored", shares.unscored, "could not be scored and are in no score");
  out.push_back({"n",
                 fmt::format("{} samples a question: a difference that new samples alone make in "
                             "one of twenty runs",
                             outcomes.plan.num_samples),
                 1.96 * sampling_se});
  const OrderedJson& identity = run.manifest["identity"];
  for (const OrderedJson& task : identity["tasks"]) {
    if (task.value("suite", std::string()) == suite.name) add_settings(task, suite, score, out);
  }
  if (shares.doubled_bos > 0) {
    out.push_back({"doubled BOS", "prompts begin with the same token twice", std::nullopt});
  }
  if (shares.system_prompt > 0 && suite.system_prompt.empty()) {
    out.push_back({"system prompt", "the chat template adds one of its own; the protocol has none",
                   std::nullopt});
  }
  const OrderedJson& model = identity["model"];
  for (const PublishedTemplate& known : published.templates) {
    if (!score.model.starts_with(known.model) || !model.contains("template_sha256")) continue;
    if (model["template_sha256"] == known.sha256) continue;
    out.push_back({"chat template",
                   "is not the published one (SHA-256 " + known.sha256.substr(0, 12) + "…)",
                   std::nullopt});
  }
  if (suite.think && model.value("think", std::string("auto")) == "off") {
    out.push_back(
        {"no forced thought", "--think off where responses begin with <think>", std::nullopt});
  }
  if (identity.value("sample_data", false)) {
    out.push_back({"other questions", "the suite ran on assay's sample data", std::nullopt});
  }
  std::stable_sort(out.begin(), out.end(), [](const Suspect& a, const Suspect& b) {
    return a.points.value_or(-1) > b.points.value_or(-1);
  });
  return out;
}

}  // namespace assay
