#include <fmt/format.h>
#include <spdlog/spdlog.h>

#include <algorithm>
#include <memory>

#include "harness/base/file.h"
#include "harness/base/text.h"
#include "harness/commands.h"
#include "harness/divergence.h"
#include "harness/run_flags.h"
#include "harness/signals.h"
#include "results/compare.h"
#include "results/report_html.h"

namespace assay {
namespace {

struct CompareArguments {
  std::vector<std::string> runs;  // folders, or models to run
  CompareOptions options;
  double margin_points = 1;
  int context = 4096;
  DivergenceOptions divergence;
  std::string html;
  int samples = 200;
  bool kld = false, json = false;
  RunOptions run;
};

// "model.gguf@activations=int8,kv_cache=f32": the same weights, other arithmetic.
Status take_arithmetic(const std::string& name, RunOptions& run) {
  const size_t at = name.rfind('@');
  run.model = name.substr(0, at);
  if (at == std::string::npos) return {};
  for (const std::string& setting : split(name.substr(at + 1), ',')) {
    const size_t equals = setting.find('=');
    const std::string key = setting.substr(0, equals);
    std::string* target = key == "activations" ? &run.activations
                          : key == "kv_cache"  ? &run.kv_cache
                          : key == "device"    ? &run.device
                                               : nullptr;
    if (target == nullptr || equals == std::string::npos) {
      return Error{fmt::format("{}: after \"@\" activations=…, kv_cache=… or device=… is expected",
                               quote_for_message(name))};
    }
    *target = setting.substr(equals + 1);
  }
  return {};
}

bool is_run(const std::string& name) { return file_exists(name + "/run.sqlite"); }

// How the model of that name is run.
Result<RunOptions> run_of(const std::string& name, const RunOptions& options) {
  if (options.tasks.empty()) {
    return Error{
        fmt::format("{}: is no run; name the folder that `assay run` wrote, or give --tasks "
                    "to run it as a model",
                    quote_for_message(name))};
  }
  RunOptions run = options;
  run.model = name;
  if (!file_exists(name) && !is_directory(name)) {
    ASSAY_TRY_STATUS(take_arithmetic(name, run));
  }
  return run;
}

// The run of that folder, or the one that the model of that name is run for.
Result<std::optional<std::string>> folder_of(const std::string& name, const RunOptions& options) {
  if (is_run(name)) return std::optional<std::string>(name);
  ASSAY_TRY(const RunOptions run, run_of(name, options));
  return complete_run(run);
}

Status compare(CompareArguments& arguments, int* exit_code) {
  arguments.options.margin = arguments.margin_points / 100;
  arguments.options.seed = arguments.run.seed;
  const bool divergence = arguments.kld || !arguments.divergence.text.empty();
  for (const std::string& name : arguments.runs) {
    if (is_run(name)) continue;
    ASSAY_TRY(const RunOptions run, run_of(name, arguments.run));
    if (divergence) {
      ASSAY_TRY_STATUS(check_divergence(run.model, arguments.divergence));
    }
  }
  std::vector<RunStore> stores;
  for (const std::string& name : arguments.runs) {
    ASSAY_TRY(const auto folder, folder_of(name, arguments.run));
    if (!folder) {
      *exit_code = kExitIncomplete;
      return {};
    }
    ASSAY_TRY(RunStore store, RunStore::open(*folder, RunStore::Mode::kRead));
    stores.push_back(std::move(store));
  }
  ASSAY_TRY(Comparison comparison, compare_runs(stores, arguments.options));
  if (divergence) {
    if (!arguments.kld) arguments.divergence.samples = 0;
    ASSAY_TRY_STATUS(add_divergence(stores, arguments.divergence, comparison));
  }
  if (arguments.json) {
    fmt::print("{}\n", dump_json(comparison_json(comparison), 2));
  } else {
    fmt::print("{}", format_comparison(comparison, arguments.context));
  }
  if (!arguments.html.empty()) {
    ASSAY_TRY(const std::string page, comparison_html(stores, comparison, arguments.samples));
    ASSAY_TRY_STATUS(write_file_atomically(arguments.html, page));
  }
  *exit_code = has_loss(comparison) ? kExitFailed : kExitDone;
  return {};
}

}  // namespace

void add_compare_command(CLI::App& app, int* exit_code) {
  auto arguments = std::make_shared<CompareArguments>();
  CompareArguments& a = *arguments;
  CLI::App* command =
      app.add_subcommand("compare", "Compare runs of the same questions sample by sample");
  command
      ->add_option("runs", a.runs,
                   "The base first: run folders, or with --tasks models, which are run first; "
                   "MODEL@activations=int8,kv_cache=f32 is the same model under other arithmetic")
      ->required()
      ->expected(2, 64);
  command->add_option("--margin", a.margin_points, "Points of loss that do not matter")
      ->capture_default_str()
      ->check(CLI::Range(0.001, 100.0));
  command->add_option("--alpha", a.options.alpha, "Chance of a wrong verdict, over all suites")
      ->capture_default_str()
      ->check(CLI::Range(1e-6, 0.5));
  command->add_option("--context", a.context, "Tokens of context for the memory column")
      ->capture_default_str()
      ->check(CLI::PositiveNumber);
  command->add_flag("--kld", a.kld,
                    "Also read the base's samples with both models, for the KL divergence");
  command
      ->add_option("--kld-samples", a.divergence.samples,
                   "Samples a question that are read, from the first on")
      ->capture_default_str()
      ->check(CLI::PositiveNumber);
  command
      ->add_option("--kld-tokens", a.divergence.max_tokens,
                   "Most tokens that are read of one sample")
      ->capture_default_str()
      ->check(CLI::PositiveNumber);
  command->add_option("--text", a.divergence.text, "Also the perplexity of this text file");
  command->add_option("--html", a.html,
                      "Also write one HTML file, with the samples that flipped side by side");
  command->add_option("--samples", a.samples, "Most flipped samples in the HTML file")
      ->capture_default_str()
      ->check(CLI::NonNegativeNumber);
  command->add_flag("--json", a.json, "Print JSON");
  add_sampling_flags(*command, a.run);
  command->footer(
      "Examples:\n"
      "  assay compare runs/f16 runs/q8_0 runs/q4_k_m --kld\n"
      "  assay compare model-f16.gguf model-q4_k_m.gguf --tasks math500:16 --limit 100\n"
      "Exit code 1: a loss was found.");
  command->callback([arguments, exit_code] {
    const Status status = compare(*arguments, exit_code);
    if (!status.ok()) *exit_code = fail(status.error());
  });
}

}  // namespace assay
