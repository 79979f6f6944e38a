#include "harness/sequential_gate.h"

#include <fmt/format.h>
#include <spdlog/spdlog.h>

#include <algorithm>
#include <cmath>
#include <iterator>
#include <map>
#include <set>
#include <type_traits>

#include "harness/base/hash.h"
#include "harness/base/philox.h"
#include "harness/base/text.h"
#include "harness/judging.h"
#include "harness/manifest.h"
#include "harness/prepared_run.h"
#include "harness/sampling.h"
#include "harness/signals.h"

namespace assay {
namespace {

constexpr int64_t kFirstRound = 256;

struct Side {
  RunOptions options;
  PreparedRun run;
  RunStore store;
};

constexpr std::string_view kReplay = "replay:";

bool is_replay(const std::string& model) { return model.starts_with(kReplay); }

Result<OrderedJson> identity_of_run(const std::string& folder) {
  ASSAY_TRY(RunStore store, RunStore::open(folder, RunStore::Mode::kRead));
  ASSAY_TRY(const auto manifest, store.manifest());
  if (!manifest) return Error{folder + ": the run was never started; name another one, or a model"};
  const OrderedJson identity =
      manifest->is_object() ? manifest->value("identity", OrderedJson()) : OrderedJson();
  const OrderedJson tasks =
      identity.is_object() ? identity.value("tasks", OrderedJson()) : OrderedJson();
  const bool sound = !tasks.empty() && tasks.is_array() &&
                     std::all_of(tasks.begin(), tasks.end(), [](const OrderedJson& task) {
                       return task.is_object() && task.contains("suite") &&
                              task["suite"].is_string() && task.contains("num_samples") &&
                              task["num_samples"].is_number_integer();
                     });
  if (!sound) return Error{folder + ": its manifest is damaged; name another run, or a model"};
  return identity;
}

// The options of a run with this identity, as far as `given` does not say otherwise; the seed is
// always the run's.
RunOptions options_of_run(const OrderedJson& identity, RunOptions given) {
  const OrderedJson& tasks = identity["tasks"];
  if (const auto seed = identity.find("seed");
      seed != identity.end() && seed->is_number_unsigned()) {
    given.seed = seed->get<uint64_t>();
  }
  // A setting that the tasks do not share is their suites' own, and needs no flag.
  const auto shared = [&](const char* key) {
    const OrderedJson value = tasks[0].value(key, OrderedJson());
    const bool same = std::all_of(tasks.begin(), tasks.end(), [&](const OrderedJson& task) {
      return task.value(key, OrderedJson()) == value;
    });
    return same ? value : OrderedJson();
  };
  const auto take = [&](const char* key, auto& option) {
    using Value = typename std::remove_reference_t<decltype(option)>::value_type;
    if (const OrderedJson value = shared(key); !option && value.is_number()) {
      option = value.get<Value>();
    }
  };
  take("temperature", given.temperature);
  take("top_p", given.top_p);
  take("top_k", given.top_k);
  take("min_p", given.min_p);
  take("max_tokens", given.max_tokens);
  const auto take_text = [&](const char* key, std::string& option) {
    if (const OrderedJson value = shared(key); option.empty() && value.is_string()) {
      option = value.get<std::string>();
    }
  };
  take_text("release", given.release);
  take_text("from", given.from);
  take_text("to", given.to);
  const bool all = given.tasks.empty();
  for (const OrderedJson& task : tasks) {
    const auto suite = task["suite"].get<std::string>();
    const std::string sampled = fmt::format("{}:{}", suite, task["num_samples"].get<int>());
    if (all) {
      given.tasks.push_back(sampled);
    } else if (!given.num_samples) {
      std::replace(given.tasks.begin(), given.tasks.end(), suite, sampled);
    }
  }
  return given;
}

// Whether `run` asks what the replayed run was asked, in the same way.
Status check_same_job(const std::string& folder, const OrderedJson& replayed,
                      const OrderedJson& run) {
  const auto job = [](const OrderedJson& identity) {
    OrderedJson out = {{"seed", identity.value("seed", OrderedJson())}};
    for (const OrderedJson& task : identity.value("tasks", OrderedJson::array())) {
      const std::string suite = task.value("suite", std::string());
      // Fewer suites and samples than there are will do; scoring is done anew.
      for (const char* key : {"questions", "data_sha256", "temperature", "top_p", "top_k", "min_p",
                              "max_tokens", "stop", "first_sample"}) {
        out[suite][key] = task.value(key, OrderedJson());
      }
    }
    return out;
  };
  OrderedJson there = job(replayed);
  const OrderedJson now = job(run);
  for (auto entry = there.begin(); entry != there.end();) {
    entry = now.contains(entry.key()) ? std::next(entry) : there.erase(entry);
  }
  std::vector<std::string> differences = identity_differences(there, now);
  for (const OrderedJson& task : run["tasks"]) {
    for (const OrderedJson& stored : replayed["tasks"]) {
      if (stored["suite"] != task["suite"] || task["num_samples"] <= stored["num_samples"])
        continue;
      differences.push_back(
          fmt::format("{}/num_samples: {} there, {} now", task["suite"].get<std::string>(),
                      dump_json(stored["num_samples"]), dump_json(task["num_samples"])));
    }
  }
  if (differences.empty()) return {};
  return Error{
      fmt::format("{}: was made with other settings; give the same flags. What differs: {}", folder,
                  join(differences, "; "))};
}

Result<Side> open_side(const SequentialGateOptions& options, const std::string& model,
                       const char* folder) {
  RunOptions run_options = options.run;
  run_options.model = model;
  ASSAY_TRY(PreparedRun run, prepare_run(run_options));
  if (is_replay(model)) {
    const std::string from = model.substr(kReplay.size());
    ASSAY_TRY(const OrderedJson replayed, identity_of_run(from));
    ASSAY_TRY_STATUS(check_same_job(from, replayed, run.manifest["identity"]));
  }
  for (const Task& task : run.tasks) {
    if (!task.suite.judge) continue;
    if (task.suite.judge->kind != JudgeKind::kCorrectness) {
      return Error{task.suite.name +
                   ": its answers are not right or wrong, but compared or rated; the gate wants "
                   "right and wrong"};
    }
    if (options.run.judges.empty()) {
      return Error{task.suite.name + ": name the model that judges its answers with --judge"};
    }
  }
  ASSAY_TRY(RunStore store, open_run_store(options.run.output_dir + "/" + folder, run));
  return Side{std::move(run_options), std::move(run), std::move(store)};
}

// Samples of a finished run by suite and question: judged ones, and right ones of these.
using Known = std::map<std::pair<std::string, std::string>, std::pair<int, int>>;

Result<Known> known_of_run(const std::string& folder) {
  ASSAY_TRY(RunStore store, RunStore::open(folder, RunStore::Mode::kRead));
  Known known;
  const auto visit = [&](const SampleRecord& sample, int) -> Status {
    if (sample.verdict.correctness == Correctness::kUnscored) return {};
    auto& [judged, right] = known[{sample.completion.id.suite, sample.completion.id.item_id}];
    ++judged;
    right += sample.verdict.correctness == Correctness::kCorrect;
    return {};
  };
  ASSAY_TRY_STATUS(store.for_each_verdict(visit));
  return known;
}

// Of each question of the task; nothing if there is no run. What the run does not say is taken to
// change like a question that is solved half the time.
std::vector<double> shares_right(const Known& known, const Task& task) {
  std::vector<double> shares;
  for (size_t i = 0; i < task.items.size() && !known.empty(); ++i) {
    const auto found = known.find({task.suite.name, task.items[i].id});
    shares.push_back(found == known.end() ? 0.5
                                          : static_cast<double>(found->second.second) /
                                                static_cast<double>(found->second.first));
  }
  return shares;
}

// One suite's draws and what they say.
class Drawer {
 public:
  struct Pair {
    SampleId id;
    size_t question;
    double weight, largest;  // as QuestionDraws gives them
  };

  Drawer(const Task& task, uint64_t seed, const GateOptions& options, const Known& known)
      : task_(task),
        test_(options),
        questions_(task.items.size(), task.num_samples, options.max_drop,
                   shares_right(known, task)) {
    key_ = stream_key(seed, task.suite.name, "gate");
  }

  bool decided() const { return test_.verdict() != GateVerdict::kUndecided || exhausted_; }
  const SequentialTest& test() const { return test_; }

  // The next `count` pairs, as far as there are samples.
  std::vector<Pair> draw(int64_t count) {
    std::vector<Pair> pairs;
    for (; count > 0; --count) {
      const auto drawn =
          questions_.next(philox_uniform({static_cast<uint32_t>(drawn_), 0, 0, 3}, key_));
      if (!drawn) {
        out_of_samples_ = true;
        break;
      }
      ++drawn_;
      const int sample = task_.first_sample + task_.num_samples - drawn->left;
      pairs.push_back({{task_.suite.name, task_.items[drawn->question].id, sample},
                       drawn->question,
                       drawn->weight,
                       drawn->largest});
    }
    return pairs;
  }

  Status add(const std::vector<Pair>& pairs, RunStore& base, RunStore& other) {
    for (const auto& [id, question, weight, largest] : pairs) {
      if (test_.verdict() != GateVerdict::kUndecided) break;
      ASSAY_TRY(const auto before, base.find(id));
      ASSAY_TRY(const auto after, other.find(id));
      if (!before || !after) {
        return Error{
            fmt::format("{} {}: sample {} was not stored", id.suite, id.item_id, id.sample_index)};
      }
      const Correctness a = before->verdict.correctness, b = after->verdict.correctness;
      if (a == Correctness::kUnscored || b == Correctness::kUnscored) continue;
      const int right_before = a == Correctness::kCorrect, right_after = b == Correctness::kCorrect;
      row_.base += weight * right_before;
      row_.other += weight * right_after;
      weights_ += weight;
      squares_ += right_before == right_after ? 0 : weight * weight;
      row_.right_to_wrong += right_before > right_after;
      row_.wrong_to_right += right_before < right_after;
      questions_.saw(question, right_before != right_after);
      test_.add(weight * (right_after - right_before), largest);
    }
    if (out_of_samples_) exhausted_ = true;
    return {};
  }
  void give_up() { exhausted_ = true; }

  GateRow row() const {
    GateRow row = row_;
    const double n = static_cast<double>(std::max<int64_t>(1, test_.pairs()));
    row.suite = task_.suite.name;
    row.verdict = test_.verdict();
    row.pairs = test_.pairs();
    if (weights_ > 0) {
      row.base /= weights_;
      row.other /= weights_;
    }
    row.difference = row.other - row.base;
    row.se = std::sqrt(std::max(0.0, squares_ / n - row.difference * row.difference) / n);
    switch (row.verdict) {
      case GateVerdict::kPass:
        row.why = "the drop that counts is ruled out";
        break;
      case GateVerdict::kRegression:
        row.why = "no drop is ruled out";
        break;
      case GateVerdict::kUndecided:
        row.why = fmt::format(
            "evidence {:.2f} for a drop, {:.2f} against, of 1; {}", test_.alarm_evidence(),
            test_.pass_evidence(),
            out_of_samples_ ? "a question has no more samples" : "more pairs would decide");
    }
    return row;
  }

 private:
  const Task& task_;
  SequentialTest test_;
  QuestionDraws questions_;
  PhiloxKey key_{};
  int64_t drawn_ = 0;
  bool out_of_samples_ = false, exhausted_ = false;
  GateRow row_;                       // base and other: weighted sums
  double weights_ = 0, squares_ = 0;  // Σ weight, Σ d²
};

Status sample(Side& side, const std::set<SampleId>& wanted) {
  ASSAY_TRY_STATUS(sample_all(side.options, side.run.tasks, side.run.prompts, *side.run.model,
                              side.store, &wanted));
  if (side.options.judges.empty() || stop_requested()) return {};
  return judge_run(side.options, side.store);
}

void announce(const GateOptions& options, size_t suites, int64_t max_pairs) {
  spdlog::info(
      "alarm without a drop: at most {:g}; pass with a drop of {:g} points: at most {:g}{}",
      options.alpha * static_cast<double>(suites), 100 * options.max_drop, 1 - options.power,
      suites > 1 ? " a suite" : "");
  for (const double flips : {0.02, 0.1, 0.3}) {
    const auto pairs = [&](double drop) { return expected_pairs(options, flips, drop, max_pairs); };
    spdlog::info(
        "pairs expected where {:g} % of all questions' samples change: {:.0f} without a drop, "
        "{:.0f} with one of "
        "{:g} points, {:.0f} with {:g}",
        100 * flips, pairs(0), pairs(options.max_drop), 100 * options.max_drop,
        pairs(5 * options.max_drop), 500 * options.max_drop);
  }
}

}  // namespace

Result<std::optional<GateResult>> run_sequential_gate(SequentialGateOptions options) {
  Known known;
  for (const std::string& name : {options.base, options.other}) {
    if (!is_replay(name)) continue;
    const std::string folder = name.substr(kReplay.size());
    ASSAY_TRY(const OrderedJson identity, identity_of_run(folder));
    ASSAY_TRY(known, known_of_run(folder));
    options.run = options_of_run(identity, options.run);
  }
  // Questions are drawn at random, so some need more samples than others.
  const bool replays = is_replay(options.base) || is_replay(options.other);
  if (!replays && !options.run.num_samples) options.run.num_samples = 256;
  ASSAY_TRY(Side base, open_side(options, options.base, "base"));
  ASSAY_TRY(Side other, open_side(options, options.other, "new"));
  GateResult result;
  result.options = options.gate;
  result.base = base.run.model->name();
  result.other = other.run.model->name();
  result.sequential = true;
  // The chance of a false alarm is shared by the suites.
  GateOptions each = options.gate;
  each.alpha /= static_cast<double>(base.run.tasks.size());
  announce(each, base.run.tasks.size(), options.max_pairs);
  if (replays) spdlog::info("one side's samples are there: a pair costs one new sample");
  std::vector<Drawer> drawers;
  for (const Task& task : base.run.tasks) drawers.emplace_back(task, options.run.seed, each, known);
  install_stop_handler();
  int64_t round_size = kFirstRound;
  for (int round = 1;; ++round) {
    std::set<SampleId> wanted;
    std::vector<std::vector<Drawer::Pair>> draws;
    for (Drawer& drawer : drawers) {
      const int64_t room = options.max_pairs - drawer.test().pairs();
      if (room <= 0) drawer.give_up();
      draws.push_back(drawer.decided() ? std::vector<Drawer::Pair>()
                                       : drawer.draw(std::min(room, round_size)));
      for (const Drawer::Pair& pair : draws.back()) wanted.insert(pair.id);
    }
    if (!wanted.empty()) {
      ASSAY_TRY_STATUS(sample(base, wanted));
      if (!stop_requested()) {
        ASSAY_TRY_STATUS(sample(other, wanted));
      }
      if (stop_requested()) return std::optional<GateResult>();
    }
    bool all_decided = true;
    for (size_t i = 0; i < drawers.size(); ++i) {
      ASSAY_TRY_STATUS(drawers[i].add(draws[i], base.store, other.store));
      all_decided = all_decided && drawers[i].decided();
      const GateRow row = drawers[i].row();
      spdlog::info("round {}: {}: {} pairs, {:+.2f} points ± {:.2f}; {}", round, row.suite,
                   row.pairs, 100 * row.difference, 100 * row.se, to_string(row.verdict));
    }
    if (all_decided) break;
    round_size += round_size / 2;
  }
  for (const Drawer& drawer : drawers) result.rows.push_back(drawer.row());
  return std::optional<GateResult>(std::move(result));
}

}  // namespace assay
