#include <fmt/format.h>
#include <spdlog/spdlog.h>

#include <algorithm>
#include <filesystem>
#include <memory>
#include <set>

#include "harness/base/text.h"
#include "harness/commands.h"
#include "harness/dry_run.h"
#include "harness/judging.h"
#include "harness/prepared_run.h"
#include "harness/run_flags.h"
#include "harness/sampling.h"
#include "harness/shard.h"
#include "harness/signals.h"

namespace assay {
namespace {

// `wanted`: only these samples; null: all.
Status generate(const RunOptions& options, PreparedRun& run, RunStore& store,
                const std::set<SampleId>* wanted) {
  ASSAY_TRY_STATUS(sample_all(options, run.tasks, run.prompts, *run.model, store, wanted));
  if (stop_requested()) return {};
  ASSAY_TRY_STATUS(sample_follow_ups(options, run.tasks, *run.model, store, wanted));
  const OrderedJson learned = run.model->learned();
  if (learned.empty()) return {};
  ASSAY_TRY(auto manifest, store.manifest());
  (*manifest)["environment"]["learned"] = learned;
  return store.set_manifest(*manifest);
}

// A shard's samples, in a folder beside those of the others.
Result<bool> complete_shard(const RunOptions& options, const Shard& shard) {
  ASSAY_TRY(PreparedRun prepared, prepare_run(options));
  const std::string run =
      options.output_dir.empty() ? default_folder(prepared) : options.output_dir;
  prepared.manifest["environment"]["shard"] = shard.text();
  ASSAY_TRY(RunStore store, open_run_store(shard.folder(run), prepared));
  const std::set<SampleId> wanted = samples_of_shard(prepared.tasks, shard);
  spdlog::info("shard {}: {} samples, in {}", shard.text(), wanted.size(), store.folder());
  install_stop_handler();
  ASSAY_TRY_STATUS(generate(options, prepared, store, &wanted));
  if (stop_requested()) return false;
  spdlog::info("shard {} is complete; `assay merge {} {}/shard-*` unites them", shard.text(), run,
               run);
  return true;
}

}  // namespace

Result<std::optional<std::string>> complete_run(const RunOptions& options) {
  ASSAY_TRY(PreparedRun prepared, prepare_run(options));
  const std::string folder =
      options.output_dir.empty() ? default_folder(prepared) : options.output_dir;
  ASSAY_TRY(RunStore store, open_run_store(folder, prepared));
  install_stop_handler();
  ASSAY_TRY_STATUS(generate(options, prepared, store, nullptr));
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
    auto prepared = prepare_run(options);
    if (!prepared.ok()) return fail(prepared.error());
    const Status status =
        print_dry_run(options, prepared->tasks, *prepared->model, prepared->prompts);
    return status.ok() ? kExitDone : fail(status.error());
  }
  const auto shard = parse_shard(options.shard);
  if (!shard.ok()) return fail(shard.error());
  if (*shard) {
    const auto complete = complete_shard(options, **shard);
    if (!complete.ok()) return fail(complete.error());
    return *complete ? kExitDone : kExitIncomplete;
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
  command
      ->add_option("--shard", o.shard,
                   "Only a part of the samples, as 3/16; auto: as Slurm, Open MPI or a Kubernetes "
                   "indexed job say; none")
      ->capture_default_str()
      ->multi_option_policy(last);
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
