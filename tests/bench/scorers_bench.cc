// Verdicts a second on one core: ASSAY_DATA=… assay_bench --benchmark_filter=score
#include <benchmark/benchmark.h>
#include <tbb/parallel_for.h>

#include <algorithm>
#include <cstdlib>
#include <map>

#include "harness/base/boxed.h"
#include "harness/base/clock.h"
#include "harness/base/file.h"
#include "harness/base/json.h"
#include "harness/base/text.h"
#include "scorers/code/sandbox.h"
#include "scorers/ifeval/instructions.h"
#include "scorers/math/equal.h"
#include "scorers/scorer.h"
#include "tests/support.h"

namespace assay {
namespace {

std::string data() {
  const char* from_environment = std::getenv("ASSAY_DATA");
  return from_environment != nullptr ? from_environment : "../shared/data";
}

void score_ifeval(benchmark::State& state) {
  const std::string folder = data() + "/ifeval/";
  if (!file_exists(folder + "responses_dev.jsonl.gz")) return state.SkipWithError("set ASSAY_DATA");
  std::map<int, std::vector<ifeval::Instruction>> prompts;
  for (const Json& row : testing::load_jsonl(folder + "input_data.jsonl")) {
    prompts[row["key"]] =
        *ifeval::read_instructions(row["instruction_id_list"].dump(), row["kwargs"].dump());
  }
  const std::vector<Json> rows = testing::load_jsonl_gz(folder + "responses_dev.jsonl.gz");
  std::vector<std::string> responses;
  for (const Json& row : rows) responses.push_back(row["response"]);
  for (auto _ : state) {
    for (size_t i = 0; i < rows.size(); ++i) {
      for (const ifeval::Instruction& instruction : prompts.at(rows[i]["key"].get<int>())) {
        benchmark::DoNotOptimize(ifeval::follows(instruction, responses[i]));
        benchmark::DoNotOptimize(ifeval::follows_loosely(instruction, responses[i]));
      }
    }
  }
  state.SetItemsProcessed(state.iterations() * static_cast<int64_t>(rows.size()));
}
BENCHMARK(score_ifeval);

// One jail: an empty program, and the solutions of HumanEval with the times from program to
// verdict.
void score_empty_programs(benchmark::State& state) {
  const auto sandbox = Sandbox::start(1);
  if (!sandbox.ok()) return state.SkipWithError(sandbox.error().message.c_str());
  for (auto _ : state) benchmark::DoNotOptimize((*sandbox)->run("pass", "", {}).status);
}
BENCHMARK(score_empty_programs)->Unit(benchmark::kMillisecond)->UseRealTime();

void score_humaneval(benchmark::State& state) {
  const std::string path = data() + "/humaneval/HumanEval.jsonl.gz";
  if (!file_exists(path)) return state.SkipWithError("set ASSAY_DATA");
  const auto sandbox = Sandbox::start(1);
  if (!sandbox.ok()) return state.SkipWithError(sandbox.error().message.c_str());
  const std::vector<Json> rows = testing::load_jsonl_gz(path);
  std::vector<double> times_ms;
  for (auto _ : state) {
    for (const Json& row : rows) {
      const double begun_s = monotonic_s();
      const auto outcome = (*sandbox)->check(
          "assertions",
          row["prompt"].get<std::string>() + row["canonical_solution"].get<std::string>(),
          row["entry_point"], Json{{"prompt", row["prompt"]}, {"test", row["test"]}}.dump(), {});
      if (outcome.status != "ok") return state.SkipWithError("a solution fails");
      times_ms.push_back(1e3 * (monotonic_s() - begun_s));
    }
  }
  std::sort(times_ms.begin(), times_ms.end());
  state.counters["p50_ms"] = times_ms[times_ms.size() / 2];
  state.counters["p99_ms"] = times_ms[times_ms.size() * 99 / 100];
  state.counters["programs"] =
      benchmark::Counter(static_cast<double>(times_ms.size()), benchmark::Counter::kIsRate);
}
BENCHMARK(score_humaneval)->Unit(benchmark::kMillisecond)->UseRealTime();

void score_math_pairs(benchmark::State& state) {
  const std::string path = data() + "/math_equivalence/pairs.jsonl";
  if (!file_exists(path)) return state.SkipWithError("set ASSAY_DATA");
  std::vector<std::pair<std::string, std::string>> pairs;
  for (const Json& row : testing::load_jsonl(path)) pairs.emplace_back(row["gold"], row["pred"]);
  for (auto _ : state) {
    for (const auto& [gold, answer] : pairs) {
      benchmark::DoNotOptimize(math::compare(gold, answer));
    }
  }
  state.SetItemsProcessed(state.iterations() * static_cast<int64_t>(pairs.size()));
}
BENCHMARK(score_math_pairs);

// 64 completions of each of MATH-500's questions: its solution, and every second time another
// question's, in all of the machine's threads.
void score_32000_of_math500(benchmark::State& state) {
  const std::string path = data() + "/math500/test.jsonl";
  if (!file_exists(path)) return state.SkipWithError("set ASSAY_DATA");
  const std::vector<Json> rows = testing::load_jsonl(path);
  const auto scorer = make_scorer("boxed");
  std::vector<Item> items(rows.size());
  std::vector<Completion> completions(64 * rows.size());
  for (size_t i = 0; i < completions.size(); ++i) {
    const size_t question = i % rows.size();
    const size_t from = i / rows.size() % 2 == 0 ? question : (question * 7 + i) % rows.size();
    items[question].gold = rows[question]["answer"];
    completions[i].text = rows[from]["solution"];
    completions[i].finish_reason = FinishReason::kStop;
  }
  for (auto _ : state) {
    tbb::parallel_for(size_t{0}, completions.size(), [&](size_t i) {
      benchmark::DoNotOptimize((*scorer)->score(items[i % items.size()], completions[i]));
    });
  }
  state.SetItemsProcessed(state.iterations() * static_cast<int64_t>(completions.size()));
}
BENCHMARK(score_32000_of_math500)->Unit(benchmark::kMillisecond)->UseRealTime();

}  // namespace
}  // namespace assay
