#include <fmt/format.h>

#include <map>
#include <memory>
#include <vector>

#include "harness/commands.h"
#include "harness/pipeline.h"

namespace assay {
namespace {

struct Rescored {
  int64_t samples = 0, changed = 0;
};

bool same_verdict(const Verdict& a, const Verdict& b) {
  return a.correctness == b.correctness && a.has_answer == b.has_answer && a.answer == b.answer &&
         a.rule == b.rule && a.detail == b.detail;
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
    ++result.samples;
    const SampleId& id = old.completion.id;
    SampleRecord now = judge(judges.at({id.suite, id.item_id}), old.completion);
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

}  // namespace

void add_score_command(CLI::App& app, int* exit_code) {
  auto folder = std::make_shared<std::string>();
  CLI::App* command =
      app.add_subcommand("score", "Score the stored samples of a run again, without the model");
  command->add_option("run", *folder, "The run's folder")->required();
  command->footer("Example:\n  assay score runs/builtin-arithmetic-1a2b3c4d");
  command->callback([folder, exit_code] {
    // Reading first: `score` must not make a run out of a mistyped folder.
    if (auto check = RunStore::open(*folder, RunStore::Mode::kRead); !check.ok()) {
      *exit_code = fail(check.error());
      return;
    }
    auto store = RunStore::open(*folder, RunStore::Mode::kWrite);
    if (!store.ok()) {
      *exit_code = fail(store.error());
      return;
    }
    const auto rescored = rescore(*store);
    if (!rescored.ok()) {
      *exit_code = fail(rescored.error());
      return;
    }
    fmt::print(stderr, "assay: scored {} samples again; {} verdicts changed\n", rescored->samples,
               rescored->changed);
    *exit_code = print_report(*store, true);
  });
}

}  // namespace assay
