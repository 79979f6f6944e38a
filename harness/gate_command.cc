#include <fmt/format.h>
#include <spdlog/spdlog.h>

#include <memory>

#include "harness/base/file.h"
#include "harness/base/hash.h"
#include "harness/base/text.h"
#include "harness/commands.h"
#include "harness/model.h"
#include "harness/run_flags.h"
#include "harness/sequential_gate.h"
#include "results/compare.h"

namespace assay {
namespace {

struct GateArguments {
  SequentialGateOptions options;
  double max_drop_points = 1;
  std::string junit, markdown;
};

bool is_run(const std::string& name) { return file_exists(name + "/run.sqlite"); }

Result<GateResult> gate_finished(const GateArguments& arguments) {
  std::vector<RunStore> stores;
  for (const std::string& folder : {arguments.options.base, arguments.options.other}) {
    ASSAY_TRY(RunStore store, RunStore::open(folder, RunStore::Mode::kRead));
    stores.push_back(std::move(store));
  }
  ASSAY_TRY(const Comparison comparison, compare_runs(stores, CompareOptions()));
  GateResult result;
  result.options = arguments.options.gate;
  result.base = comparison.runs[0].name;
  result.other = comparison.runs[1].name;
  GateOptions each = result.options;
  each.alpha /= static_cast<double>(std::max<size_t>(1, comparison.runs[1].suites.size()));
  for (const PairedSuite& suite : comparison.runs[1].suites) {
    result.rows.push_back(gate_fixed(suite, each));
  }
  for (const std::string& warning : comparison.runs[1].warnings) spdlog::warn("{}", warning);
  return result;
}

Result<std::optional<GateResult>> gate(GateArguments& arguments) {
  SequentialGateOptions& options = arguments.options;
  options.gate.max_drop = arguments.max_drop_points / 100;
  if (is_run(options.base) && is_run(options.other)) {
    ASSAY_TRY(GateResult result, gate_finished(arguments));
    return std::optional<GateResult>(std::move(result));
  }
  bool any_run = false;
  for (std::string* name : {&options.base, &options.other}) {
    if (is_run(*name)) {
      any_run = true;
      *name = "replay:" + *name;
    }
    ASSAY_TRY_STATUS(model_is_there(name == &options.base ? "BASE" : "NEW", *name));
  }
  if (options.run.tasks.empty() && !any_run) {
    return Error{"--tasks: name the suites that the two models are sampled on"};
  }
  if (options.run.output_dir.empty()) {
    options.run.output_dir = "runs/gate-" + sha256_hex(options.base + "\n" + options.other + "\n" +
                                                       join(options.run.tasks, ","))
                                                .substr(0, 8);
  }
  return run_sequential_gate(options);
}

int run_gate(GateArguments& arguments) {
  const auto result = gate(arguments);
  if (!result.ok()) return fail(result.error());
  if (!*result) return kExitIncomplete;
  fmt::print("{}", format_gate(**result));
  if (!arguments.junit.empty()) {
    const Status written = write_file_atomically(arguments.junit, gate_junit(**result));
    if (!written.ok()) return fail(written.error());
  }
  if (!arguments.markdown.empty()) {
    const Status written = write_file_atomically(arguments.markdown, gate_markdown(**result));
    if (!written.ok()) return fail(written.error());
  }
  switch ((*result)->verdict()) {
    case GateVerdict::kPass:
      return kExitDone;
    case GateVerdict::kRegression:
      return kExitFailed;
    case GateVerdict::kUndecided:
      break;
  }
  return kExitIncomplete;
}

}  // namespace

void add_gate_command(CLI::App& app, int* exit_code) {
  auto arguments = std::make_shared<GateArguments>();
  GateArguments& a = *arguments;
  CLI::App* command =
      app.add_subcommand("gate", "Pass or refuse a change, with stated chances of being wrong");
  command->add_option("base", a.options.base, "Run folder, or model")->required();
  command->add_option("new", a.options.other, "Run folder, or model")->required();
  command->add_option("--max-drop", a.max_drop_points, "Points of drop that count")
      ->capture_default_str()
      ->check(CLI::Range(0.01, 100.0));
  command->add_option("--alpha", a.options.gate.alpha, "Chance of an alarm without a drop")
      ->capture_default_str()
      ->check(CLI::Range(1e-9, 0.5));
  command->add_option("--power", a.options.gate.power, "Chance not to pass a drop of --max-drop")
      ->capture_default_str()
      ->check(CLI::Range(0.5, 0.9999));
  command->add_option("--max-pairs", a.options.max_pairs, "Most pairs of a suite; then undecided")
      ->capture_default_str()
      ->check(CLI::PositiveNumber);
  command->add_option("--output-dir,-o", a.options.run.output_dir,
                      "Where the samples of two models are kept (default runs/gate-…)");
  command->add_option("--junit", a.junit, "Write the verdicts as JUnit XML");
  command->add_option("--markdown", a.markdown, "Write a summary in Markdown");
  add_sampling_flags(*command, a.options.run);
  command->footer(
      "Examples:\n"
      "  assay gate runs/main runs/change --max-drop 1 --alpha 0.01 --power 0.9\n"
      "  assay gate main.gguf change.gguf --tasks math500     samples until it is decided\n"
      "  assay gate runs/main change.gguf     samples only the change, as the run was sampled\n"
      "Exit code: 0 pass, 1 regression, 3 undecided.");
  command->callback([arguments, exit_code] { *exit_code = run_gate(*arguments); });
}

}  // namespace assay
