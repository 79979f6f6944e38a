#include <fmt/format.h>
#include <spdlog/spdlog.h>

#include <map>
#include <memory>
#include <optional>

#include "harness/base/text.h"
#include "harness/commands.h"
#include "harness/manifest.h"

namespace assay {
namespace {

struct MergeArguments {
  std::string out;
  std::vector<std::string> shards;
};

struct Merged {
  int64_t samples = 0, doubles = 0;
};

bool same_sample(const SampleRecord& a, const SampleRecord& b) {
  return a.completion.token_ids == b.completion.token_ids &&
         a.completion.text == b.completion.text &&
         a.completion.finish_reason == b.completion.finish_reason;
}

// Every sample in the order of the run, as one machine would have stored it.
Result<Merged> merge_samples(std::vector<RunStore>& shards, const std::vector<StoredItem>& items,
                             RunStore& out) {
  // Sample indices of each question, by the shards that have them.
  std::map<std::pair<std::string, std::string>, std::map<int, std::vector<size_t>>> places;
  for (size_t i = 0; i < shards.size(); ++i) {
    ASSAY_TRY(const std::set<SampleId> ids, shards[i].sample_ids());
    for (const SampleId& id : ids) places[{id.suite, id.item_id}][id.sample_index].push_back(i);
  }
  ASSAY_TRY(const std::set<SampleId> present, out.sample_ids());
  Merged merged;
  for (const StoredItem& item : items) {
    for (const auto& [index, holders] : places[{item.item.suite, item.item.id}]) {
      const SampleId id{item.item.suite, item.item.id, index};
      ASSAY_TRY(auto record, shards[holders.front()].find(id));
      for (size_t i = 1; i < holders.size(); ++i) {
        ASSAY_TRY(const auto other, shards[holders[i]].find(id));
        ++merged.doubles;
        if (same_sample(*record, *other)) continue;
        return Error{
            fmt::format("{} {} #{} differs in {} and {}; a sample is a function of the run, so "
                        "one of them was made by other weights or another program",
                        id.suite, id.item_id, index, shards[holders.front()].folder(),
                        shards[holders[i]].folder())};
      }
      if (present.contains(id)) continue;
      ASSAY_TRY_STATUS(out.insert(RunStore::encode(std::move(*record))));
      ++merged.samples;
    }
    ASSAY_TRY_STATUS(out.commit());
  }
  return merged;
}

Result<Merged> merge(const MergeArguments& arguments) {
  std::vector<RunStore> shards;
  std::optional<OrderedJson> manifest;
  for (const std::string& folder : arguments.shards) {
    ASSAY_TRY(RunStore store, RunStore::open(folder, RunStore::Mode::kRead));
    ASSAY_TRY(const auto own, store.manifest());
    if (!own) return Error{folder + ": the run was never started; leave it out or run it again"};
    if (!manifest) manifest = *own;
    const auto differences = identity_differences((*manifest)["identity"], (*own)["identity"]);
    if (!differences.empty()) {
      return Error{fmt::format("{} is of another run than {}: {}", folder, arguments.shards.front(),
                               join(differences, "; "))};
    }
    shards.push_back(std::move(store));
  }
  ASSAY_TRY(const std::vector<StoredItem> items, shards.front().items());
  ASSAY_TRY(RunStore out, RunStore::open(arguments.out, RunStore::Mode::kWrite));
  ASSAY_TRY(const auto there, out.manifest());
  if (there) {
    const auto differences = identity_differences((*there)["identity"], (*manifest)["identity"]);
    if (!differences.empty()) {
      return Error{arguments.out + ": holds another run; name a new folder. What differs: " +
                   join(differences, "; ")};
    }
  } else {
    (*manifest)["environment"].erase("shard");
    (*manifest)["environment"]["merged_from"] = arguments.shards.size();
    ASSAY_TRY_STATUS(out.add_items(items));
    ASSAY_TRY_STATUS(out.set_manifest(*manifest));
    for (RunStore& shard : shards) {
      ASSAY_TRY(const SessionStats stats, shard.total_sessions());
      ASSAY_TRY_STATUS(out.add_session(stats));
    }
  }
  return merge_samples(shards, items, out);
}

int run_merge(const MergeArguments& arguments) {
  const auto merged = merge(arguments);
  if (!merged.ok()) return fail(merged.error());
  spdlog::info("{}: {} samples of {} shards{}", arguments.out,
               with_commas(static_cast<uint64_t>(merged->samples)), arguments.shards.size(),
               merged->doubles > 0
                   ? fmt::format(", {} of them in more than one, the same there",
                                 with_commas(static_cast<uint64_t>(merged->doubles)))
                   : "");
  auto store = RunStore::open(arguments.out, RunStore::Mode::kWrite);
  return store.ok() ? print_report(*store, true) : fail(store.error());
}

}  // namespace

void add_merge_command(CLI::App& app, int* exit_code) {
  auto arguments = std::make_shared<MergeArguments>();
  CLI::App* command = app.add_subcommand("merge", "Unite the shards of a run");
  command->add_option("out", arguments->out, "The run's folder to write")->required();
  command->add_option("shards", arguments->shards, "Folders of the shards, in any order")
      ->required();
  command->footer(
      "Example:\n"
      "  assay run … --shard 1/2 -o r; assay run … --shard 2/2 -o r    on two machines\n"
      "  assay merge r r/shard-*\n"
      "Exit code: 3 when samples are missing; run their shards again.");
  command->callback([arguments, exit_code] { *exit_code = run_merge(*arguments); });
}

}  // namespace assay
