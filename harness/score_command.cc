#include <fmt/format.h>

#include <map>
#include <memory>
#include <vector>

#include "harness/audit.h"
#include "harness/commands.h"
#include "harness/completions.h"
#include "harness/judging.h"
#include "harness/pipeline.h"
#include "harness/run_flags.h"
#include "harness/signals.h"

namespace assay {
namespace {

struct Rescored {
  int64_t samples = 0, changed = 0;
};

bool same_verdict(const Verdict& a, const Verdict& b) {
  return a.correctness == b.correctness && a.has_answer == b.has_answer && a.answer == b.answer &&
         a.rule == b.rule && a.detail == b.detail && a.values == b.values;
}

// Judges every stored completion again and keeps the new verdicts, all or none.
Result<Rescored> rescore(RunStore& store) {
  ASSAY_TRY(const auto manifest, store.manifest());
  if (!manifest)
    return Error{store.folder() + ": the run was never started; there is nothing to score"};
  std::map<std::string, std::unique_ptr<Scorer>> scorers;  // by suite
  try {
    for (const PlannedSuite& plan : planned_suites(*manifest)) {
      ASSAY_TRY(scorers[plan.suite], make_scorer(plan.scorer));
    }
  } catch (const OrderedJson::exception&) {
    return Error{store.folder() + ": its manifest is damaged"};
  }
  ASSAY_TRY(const std::vector<StoredItem> items, store.items());
  Pipeline::Judges judges;
  for (const StoredItem& stored : items) {
    judges[{stored.item.suite, stored.item.id}] = {&stored.item, scorers[stored.item.suite].get()};
  }
  Rescored result;
  std::vector<SampleRecord> changed;
  ASSAY_TRY_STATUS(store.for_each([&](const SampleRecord& old) -> Status {
    const SampleId& id = old.completion.id;
    if (is_judgment(id)) return {};
    ++result.samples;
    SampleRecord now = judge(judges.at({id.suite, id.item_id}), old.completion);
    // Judgments are in the store, and are read again afterwards.
    if (old.verdict.rule == "judged" && now.verdict.rule == "not_judged") return {};
    if (!same_verdict(now.verdict, old.verdict)) ++result.changed;
    if (!same_verdict(now.verdict, old.verdict) || now.scorer != old.scorer) {
      now.completion.text.clear();
      now.completion.token_ids.clear();
      changed.push_back(std::move(now));
    }
    return {};
  }));
  for (const SampleRecord& record : changed) {
    ASSAY_TRY_STATUS(store.update_verdict(record.completion.id, record.verdict, record.scorer));
  }
  ASSAY_TRY_STATUS(store.commit());
  return result;
}

int audit_run(const std::string& folder) {
  auto store = RunStore::open(folder, RunStore::Mode::kRead);
  if (!store.ok()) return fail(store.error());
  const Status status = print_audit(*store);
  return status.ok() ? kExitDone : fail(status.error());
}

int rescore_run(const RunOptions& options, const std::string& folder) {
  // Reading first: `score` must not make a run out of a mistyped folder.
  if (const Status able = use_sandbox(options); !able.ok()) return fail(able.error());
  if (auto check = RunStore::open(folder, RunStore::Mode::kRead); !check.ok()) {
    return fail(check.error());
  }
  auto store = RunStore::open(folder, RunStore::Mode::kWrite);
  if (!store.ok()) return fail(store.error());
  const auto rescored = rescore(*store);
  if (!rescored.ok()) return fail(rescored.error());
  fmt::print(stderr, "assay: scored {} samples again; {} verdicts changed\n", rescored->samples,
             rescored->changed);
  install_stop_handler();
  const Status judged = judge_run(options, *store);
  if (!judged.ok()) return fail(judged.error());
  if (stop_requested()) return kExitIncomplete;
  return print_report(*store, true);
}

// What somebody else sampled becomes a run here.
int score_completions(RunOptions options, const std::string& path) {
  options.model = "completions:" + path;
  if (!options.num_samples) {
    const auto file = CompletionsFile::read(path);
    if (!file.ok()) return fail(file.error());
    const auto samples = file->samples_of_each();
    if (!samples.ok()) return fail(samples.error());
    options.num_samples = *samples;
  }
  return run_job(options);
}

}  // namespace

void add_score_command(CLI::App& app, int* exit_code) {
  struct Options {
    std::string folder, completions;
    bool audit = false;
    RunOptions run;
  };
  auto options = std::make_shared<Options>();
  CLI::App* command = app.add_subcommand(
      "score", "Score stored samples again, or completions that another program made");
  command->add_option("run", options->folder, "The run's folder");
  command->add_flag("--audit", options->audit,
                    "Only list the run's samples that a person should look at");
  command->add_option("--completions", options->completions,
                      "A JSONL file, a row a question: {id, completion: text or list}");
  command->add_option("--tasks,-t", options->run.tasks, "The suite of the completions")
      ->delimiter(',');
  command
      ->add_option("--judge", options->run.judges,
                   "Model that judges answers of suites that need one; may be repeated")
      ->multi_option_policy(CLI::MultiOptionPolicy::TakeAll);
  add_question_flags(*command, options->run);
  command->add_option("--grader", options->run.grader, "default, strict or official; see assay run")
      ->capture_default_str();
  command->add_option("--num-samples,-n", options->run.num_samples,
                      "The first completions of each question (default: all)");
  command->add_option("--limit,-l", options->run.limit,
                      "Only the first questions of the suite, or of its groups");
  options->run.data = default_data_folder();
  command->add_option("--data", options->run.data, "Folder of the suites' data")
      ->envname("ASSAY_DATA");
  add_sandbox_flags(*command, options->run);
  command->add_option("--output-dir,-o", options->run.output_dir, "Where the run is stored");
  command->footer(
      "Examples:\n"
      "  assay score runs/builtin-arithmetic-1a2b3c4d\n"
      "  assay score --audit runs/builtin-arithmetic-1a2b3c4d\n"
      "  assay score --tasks math500 --completions outputs.jsonl");
  command->callback([options, exit_code] {
    const bool given = !options->completions.empty();
    if (options->audit && !options->folder.empty()) {
      *exit_code = audit_run(options->folder);
    } else if (given == !options->folder.empty()) {
      *exit_code = fail(Error{"score: name a run's folder, or --tasks and --completions"});
    } else {
      *exit_code = given ? score_completions(options->run, options->completions)
                         : rescore_run(options->run, options->folder);
    }
  });
}

}  // namespace assay
