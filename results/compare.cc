#include "results/compare.h"

#include <fmt/format.h>

#include <algorithm>

#include "harness/base/text.h"

namespace assay {
namespace {

// Of a suite's part of the identity: what must be the same for samples to be pairs at all.
constexpr const char* kMustAgree[] = {"suite_version", "suite_sha256", "data_sha256", "scorer"};
constexpr const char* kShouldAgree[] = {"temperature", "top_p",      "top_k",
                                        "min_p",       "max_tokens", "stop"};
constexpr const char* kArithmetic[] = {"activations", "kv_cache", "device", "gemm",
                                       "tensor_parallel"};

std::string shown(const OrderedJson& json, const char* key) {
  return json.contains(key) ? dump_json(json[key]) : std::string("none");
}

// How the device computed; what is not stored is the CPU alone.
std::vector<std::string> arithmetic_differences(const OrderedJson& a, const OrderedJson& b) {
  std::vector<std::string> differences;
  for (const char* key : kArithmetic) {
    if (shown(a, key) != shown(b, key)) {
      differences.push_back(fmt::format("{} {} and {}", key, shown(a, key), shown(b, key)));
    }
  }
  return differences;
}

const OrderedJson* task_of(const OrderedJson& manifest, const std::string& suite) {
  for (const OrderedJson& task : manifest.at("identity").at("tasks")) {
    if (task.at("suite") == suite) return &task;
  }
  return nullptr;
}

Status check_tasks(const RunOutcomes& base, const RunOutcomes& other, const std::string& suite,
                   std::vector<std::string>& warnings) {
  const OrderedJson *a = task_of(base.manifest, suite), *b = task_of(other.manifest, suite);
  for (const char* key : kMustAgree) {
    if (shown(*a, key) == shown(*b, key)) continue;
    return Error{
        fmt::format("{}: {} is {} in {} and {} in {}; these are not the same questions. "
                    "`assay score RUN` brings a run to this version's scorer",
                    suite, key, shown(*a, key), base.model, shown(*b, key), other.model)};
  }
  for (const char* key : kShouldAgree) {
    if (shown(*a, key) == shown(*b, key)) continue;
    warnings.push_back(fmt::format("{}: {} differs: {} and {}; this is part of what is compared",
                                   suite, key, shown(*a, key), shown(*b, key)));
  }
  return {};
}

// Where the pairs' tokens part, run through in the base's order.
Status find_first_differences(RunStore& base, RunStore& other,
                              std::map<std::string, FirstDifference>& out) {
  std::map<std::string, std::vector<double>> same;
  ASSAY_TRY_STATUS(base.for_each([&](const SampleRecord& record) -> Status {
    const Completion& a = record.completion;
    ASSAY_TRY(const auto found, other.find(a.id));
    if (!found || a.token_ids.empty() || found->completion.token_ids.empty()) return {};
    const std::vector<int32_t>& b = found->completion.token_ids;
    const auto parted = std::mismatch(a.token_ids.begin(), a.token_ids.end(), b.begin(), b.end());
    FirstDifference& suite = out[a.id.suite];
    ++suite.pairs;
    if (a.token_ids == b) {
      ++suite.identical;
    } else {
      same[a.id.suite].push_back(static_cast<double>(parted.first - a.token_ids.begin()));
    }
    return {};
  }));
  for (auto& [suite, tokens] : same) {
    const auto middle = tokens.begin() + static_cast<std::ptrdiff_t>(tokens.size() / 2);
    std::nth_element(tokens.begin(), middle, tokens.end());
    out[suite].median_tokens = *middle;
  }
  return {};
}

Status compare_with_base(RunStore& base_store, const RunOutcomes& base, RunStore& store,
                         const RunOutcomes& run, const CompareOptions& options, ComparedRun& out) {
  for (const SuiteOutcomes& suite : base.suites) {
    const auto partner = std::find_if(
        run.suites.begin(), run.suites.end(),
        [&](const SuiteOutcomes& other) { return other.plan.suite == suite.plan.suite; });
    if (partner == run.suites.end()) {
      out.warnings.push_back(suite.plan.suite + ": was not run, and is not compared");
      continue;
    }
    ASSAY_TRY_STATUS(check_tasks(base, run, suite.plan.suite, out.warnings));
    if (!suite.plan.accuracy) {
      out.warnings.push_back(suite.plan.suite + ": has no right and wrong, and is not compared");
      continue;
    }
    PairedSuite paired = compare_suites(suite, *partner, options);
    if (paired.pairs == 0) {
      return Error{
          fmt::format("{}: the runs have no question and sample in common; compare runs of "
                      "the same --limit and --first-sample",
                      suite.plan.suite)};
    }
    if (paired.base <= options.margin) {
      out.warnings.push_back(fmt::format(
          "{}: the base scores {:.1f}, so there is no margin to lose; this suite says nothing of "
          "these models",
          suite.plan.suite, 100 * paired.base));
    }
    if (paired.unpaired > 0) {
      out.warnings.push_back(fmt::format("{}: {} samples have no scored partner and are left out",
                                         suite.plan.suite, paired.unpaired));
    }
    out.suites.push_back(std::move(paired));
  }
  const OrderedJson &a = base.manifest["identity"], &b = run.manifest["identity"];
  if (shown(a, "seed") != shown(b, "seed")) {
    out.warnings.push_back(
        "the seeds differ: pairs do not share random numbers, which makes the comparison coarser");
  }
  const auto arithmetic = arithmetic_differences(a["model"], b["model"]);
  const bool same_weights =
      shown(a["model"], "weights_sha256") != "none" &&
      shown(a["model"], "weights_sha256") == shown(b["model"], "weights_sha256");
  if (!arithmetic.empty() && same_weights) {
    out.warnings.push_back("the weights are the same; what is compared is the arithmetic: " +
                           join(arithmetic, ", "));
  } else if (!arithmetic.empty()) {
    out.warnings.push_back("the arithmetic differs too, and can matter as much as the weights: " +
                           join(arithmetic, ", ") +
                           "; run both with the same --activations, --kv-cache and --device");
  }
  for (const char* key : {"template_sha256", "tokenizer_sha256", "think"}) {
    if (shown(a["model"], key) != shown(b["model"], key)) {
      out.warnings.push_back(fmt::format("{} differs: the prompts may differ too", key));
    }
  }
  return find_first_differences(base_store, store, out.first_difference);
}

}  // namespace

Result<Comparison> compare_runs(std::vector<RunStore>& stores, const CompareOptions& options) {
  Comparison comparison;
  comparison.options = options;
  std::vector<RunOutcomes> runs;
  for (RunStore& store : stores) {
    ASSAY_TRY(RunOutcomes run, load_outcomes(store));
    for (const SuiteOutcomes& suite : run.suites) {
      for (size_t i = 0; i < suite.questions.size(); ++i) {
        if (static_cast<int>(suite.questions[i].size()) >= suite.plan.num_samples) continue;
        return Error{
            fmt::format("{}: the run is incomplete ({} {} lacks samples); finish it with "
                        "the same `assay run`",
                        store.folder(), suite.plan.suite, suite.item_ids[i])};
      }
    }
    ComparedRun compared;
    compared.name = run.model;
    compared.folder = store.folder();
    compared.model = run.manifest["identity"]["model"];
    compared.environment = run.manifest.value("environment", OrderedJson::object());
    comparison.runs.push_back(std::move(compared));
    runs.push_back(std::move(run));
  }
  // Where the arithmetic alone tells runs of a model apart, it is part of their names.
  for (ComparedRun& run : comparison.runs) {
    const auto same = [&](const ComparedRun& other) {
      return &other != &run && other.model.value("name", std::string()) == run.name &&
             !arithmetic_differences(other.model, run.model).empty();
    };
    if (std::any_of(comparison.runs.begin(), comparison.runs.end(), same)) {
      run.name += fmt::format("@{}/{}", run.model.value("activations", std::string("?")),
                              run.model.value("kv_cache", std::string("?")));
    }
  }
  for (const SuiteOutcomes& suite : runs[0].suites) comparison.suites.push_back(suite.plan.suite);
  std::vector<PairedSuite*> all;
  for (size_t i = 1; i < runs.size(); ++i) {
    ASSAY_TRY_STATUS(
        compare_with_base(stores[0], runs[0], stores[i], runs[i], options, comparison.runs[i]));
    for (PairedSuite& suite : comparison.runs[i].suites) all.push_back(&suite);
  }
  decide(all, options);
  return comparison;
}

bool has_loss(const Comparison& comparison) {
  return std::any_of(comparison.runs.begin(), comparison.runs.end(), [](const ComparedRun& run) {
    return std::any_of(run.suites.begin(), run.suites.end(), [](const PairedSuite& suite) {
      return suite.verdict == CompareVerdict::kLoss;
    });
  });
}

}  // namespace assay
