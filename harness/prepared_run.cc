#include "harness/prepared_run.h"

#include <fmt/format.h>

#include <algorithm>

#include "harness/base/text.h"
#include "harness/manifest.h"
#include "harness/sampling.h"

namespace assay {
namespace {

Status check_machine_options(const RunOptions& options) {
  if (options.threads < 0 || options.threads > 4096) {
    return Error{
        fmt::format("--threads {}: must be from 1, or 0 for one for each core", options.threads)};
  }
  if (options.scoring_threads < 0 || options.scoring_threads > 4096) {
    return Error{fmt::format("--scoring-threads {}: must be from 1, or 0 for one for each core",
                             options.scoring_threads)};
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

}  // namespace

Result<PreparedRun> prepare_run(const RunOptions& options) {
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

Result<RunStore> open_run_store(const std::string& folder, const PreparedRun& run) {
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

}  // namespace assay
