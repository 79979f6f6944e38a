#include <fmt/format.h>
#include <spdlog/spdlog.h>

#include <algorithm>
#include <filesystem>
#include <memory>

#include "harness/base/text.h"
#include "harness/commands.h"
#include "harness/dry_run.h"
#include "harness/job.h"
#include "harness/judging.h"
#include "harness/manifest.h"
#include "harness/model.h"
#include "harness/run_flags.h"
#include "harness/sampling.h"
#include "harness/signals.h"

namespace assay {
namespace {

// Everything that a run needs, checked and loaded.
struct PreparedRun {
  std::vector<Task> tasks;
  std::unique_ptr<ModelUnderTest> model;
  JobSource::Prompts prompts;
  std::vector<StoredItem> items;
  OrderedJson manifest;
};

Status check_machine_options(const RunOptions& options) {
  if (options.threads < 0 || options.threads > 4096) {
    return Error{
        fmt::format("--threads {}: must be from 1, or 0 for one for each core", options.threads)};
  }
  if (options.batch_size < 1 || options.batch_size > 65536) {
    return Error{fmt::format("--batch-size {}: must be from 1 to 65536", options.batch_size)};
  }
  if (!(options.kv_cache_gib >= 0 && options.kv_cache_gib < 1e6)) {
    return Error{fmt::format("--kv-cache-gib {}: must be positive", options.kv_cache_gib)};
  }
  if (!(options.gpu_memory > 0 && options.gpu_memory <= 1)) {
    return Error{fmt::format("--gpu-memory {}: must be over 0 and at most 1", options.gpu_memory)};
  }
  if (options.gemm != "kernel" && options.gemm != "cublaslt") {
    return Error{fmt::format("--gemm {}: must be kernel or cublaslt", options.gemm)};
  }
  if (options.tensor_parallel < 1 || options.tensor_parallel > 64) {
    return Error{
        fmt::format("--tensor-parallel {}: must be from 1 to 64", options.tensor_parallel)};
  }
  return {};
}

Result<PreparedRun> prepare(const RunOptions& options) {
  PreparedRun run;
  ASSAY_TRY_STATUS(check_machine_options(options));
  ASSAY_TRY(Job job, load_job(options));
  run.tasks = std::move(job.tasks);
  // Before hours of sampling, not after them.
  const bool judged = std::any_of(run.tasks.begin(), run.tasks.end(),
                                  [](const Task& task) { return task.suite.judge.has_value(); });
  if (!options.judges.empty() && !judged) return Error{"--judge: none of the suites is judged"};
  for (const std::string& judge : options.judges) {
    ASSAY_TRY_STATUS(model_is_there("--judge", judge));
  }
  ASSAY_TRY(run.model, open_model(options));
  for (const Task& task : run.tasks) {
    for (const Item& item : task.items) {
      ASSAY_TRY(auto prompts, prompts_of(task, item, *run.model));
      StoredItem stored;
      stored.item = item;
      stored.ordinal = static_cast<int>(run.items.size());
      stored.prompt = *prompts.front();
      run.items.push_back(std::move(stored));
      run.prompts[{task.suite.name, item.id}] = std::move(prompts);
    }
    for (const Item& item : task.follow_ups) {
      // Its prompt depends on the sample's answer to the first turn.
      run.items.push_back({item, static_cast<int>(run.items.size()), {}});
    }
  }
  run.manifest = make_manifest(options, run.tasks, job.composites, *run.model);
  return run;
}

// runs/<model>-<tasks>-<fingerprint>: the same arguments find the same folder again.
std::string default_folder(const PreparedRun& run) {
  std::string name = run.model->name();
  if (const size_t dot = name.rfind(".gguf"); dot != std::string::npos) name.resize(dot);
  for (const Task& task : run.tasks) name += "-" + task.suite.name;
  for (char& c : name) {
    const bool plain = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
                       c == '-' || c == '.' || c == '_';
    if (!plain) c = '_';
  }
  return "runs/" + name.substr(0, 120) + "-" + identity_fingerprint(run.manifest["identity"]);
}

// Opens the run's folder, or finds that another run is in it.
Result<RunStore> open_store(const std::string& folder, const PreparedRun& run) {
  ASSAY_TRY(RunStore store, RunStore::open(folder, RunStore::Mode::kWrite));
  ASSAY_TRY(const auto stored, store.manifest());
  if (!stored) {
    ASSAY_TRY_STATUS(store.add_items(run.items));
    ASSAY_TRY_STATUS(store.set_manifest(run.manifest));
    return store;
  }
  const OrderedJson identity = stored->value("identity", OrderedJson());
  const auto differences = identity_differences(identity, run.manifest["identity"]);
  if (!differences.empty()) {
    return Error{
        fmt::format("{}: holds another run; choose another --output-dir, or give the "
                    "same arguments to continue it. What differs: {}",
                    folder, join(differences, "; "))};
  }
  return store;
}

Status generate(const RunOptions& options, PreparedRun& run, RunStore& store) {
  ASSAY_TRY_STATUS(sample_all(options, run.tasks, run.prompts, *run.model, store));
  if (stop_requested()) return {};
  return sample_follow_ups(options, run.tasks, *run.model, store);
}

}  // namespace

Result<std::optional<std::string>> complete_run(const RunOptions& options) {
  ASSAY_TRY(PreparedRun prepared, prepare(options));
  const std::string folder =
      options.output_dir.empty() ? default_folder(prepared) : options.output_dir;
  ASSAY_TRY(RunStore store, open_store(folder, prepared));
  install_stop_handler();
  ASSAY_TRY_STATUS(generate(options, prepared, store));
  if (stop_requested()) {
    spdlog::info("stopped; every counted sample is in {}; run the same command again to go on",
                 folder);
    return std::optional<std::string>();
  }
  prepared.model.reset();  // a judge may need the memory
  ASSAY_TRY_STATUS(judge_run(options, store));
  if (stop_requested()) return std::optional<std::string>();
  spdlog::info("run stored in {}", folder);
  return std::optional<std::string>(folder);
}

int run_job(const RunOptions& options) {
  if (options.dry_run) {
    auto prepared = prepare(options);
    if (!prepared.ok()) return fail(prepared.error());
    const Status status =
        print_dry_run(options, prepared->tasks, *prepared->model, prepared->prompts);
    return status.ok() ? kExitDone : fail(status.error());
  }
  const auto folder = complete_run(options);
  if (!folder.ok()) return fail(folder.error());
  if (!*folder) return kExitIncomplete;
  auto store = RunStore::open(**folder, RunStore::Mode::kWrite);
  return store.ok() ? print_report(*store, true) : fail(store.error());
}

void add_run_command(CLI::App& app, int* exit_code) {
  auto options = std::make_shared<RunOptions>();
  RunOptions& o = *options;
  CLI::App* command = app.add_subcommand("run", "Sample suites from a model, score and report");
  const auto last = CLI::MultiOptionPolicy::TakeLast;
  command
      ->add_option("--model,-m", o.model,
                   "Model folder, .gguf file, builtin, replay:RUN or completions:FILE")
      ->multi_option_policy(last);
  command
      ->add_option("--output-dir,-o,--output_path", o.output_dir,
                   "The run's folder (default runs/<model>-<tasks>-<fingerprint>)")
      ->multi_option_policy(last);
  add_sampling_flags(*command, o);
  command->add_flag("--dry-run", o.dry_run, "Show the first prompt, token counts and an estimate");
  command->add_option("--config", o.config, "JSON file that holds any of these flags");
  command->footer(
      "Examples:\n"
      "  assay run --model builtin --tasks arithmetic\n"
      "  assay run --model model.gguf --tasks math500,aime24:64 --limit 20 --max-tokens 512\n"
      "  assay run --model DeepSeek-R1-Distill-Qwen-7B/ --tasks math500 --dry-run\n"
      "  assay run --config job.json --seed 2");
  command->callback([options, exit_code] { *exit_code = run_job(*options); });
}

}  // namespace assay
