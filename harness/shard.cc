#include "harness/shard.h"

#include <fmt/format.h>

#include <charconv>
#include <cstdlib>

#include "harness/base/hash.h"
#include "harness/base/text.h"

namespace assay {
namespace {

std::optional<int> number(const char* text) {
  if (text == nullptr) return std::nullopt;
  int value = 0;
  const std::string_view view = text;
  const auto [end, code] = std::from_chars(view.data(), view.data() + view.size(), value);
  if (code != std::errc() || end != view.data() + view.size()) return std::nullopt;
  return value;
}

// Variables of schedulers: an index, where it starts, and a count.
struct Scheduler {
  const char *index, *first, *count;
};
constexpr Scheduler kSchedulers[] = {
    {"SLURM_ARRAY_TASK_ID", "SLURM_ARRAY_TASK_MIN", "SLURM_ARRAY_TASK_COUNT"},
    {"SLURM_PROCID", nullptr, "SLURM_NTASKS"},
    {"OMPI_COMM_WORLD_RANK", nullptr, "OMPI_COMM_WORLD_SIZE"},
    {"JOB_COMPLETION_INDEX", nullptr, "JOB_COMPLETIONS"}};

std::optional<Shard> from_environment() {
  for (const Scheduler& scheduler : kSchedulers) {
    const auto index = number(std::getenv(scheduler.index));
    const auto count = number(std::getenv(scheduler.count));
    const int first =
        scheduler.first == nullptr ? 0 : number(std::getenv(scheduler.first)).value_or(0);
    if (!index || !count || *count < 2) continue;
    const int place = *index - first + 1;
    if (place >= 1 && place <= *count) return Shard{place, *count};
  }
  return std::nullopt;
}

}  // namespace

std::string Shard::text() const { return fmt::format("{}/{}", index, count); }

std::string Shard::folder(const std::string& run) const {
  const size_t width = std::to_string(count).size();
  return fmt::format("{}/shard-{:0{}}-of-{}", run, index, width, count);
}

Result<std::optional<Shard>> parse_shard(const std::string& text) {
  if (text == "none") return std::optional<Shard>();
  if (text == "auto") return from_environment();
  const size_t slash = text.find('/');
  const auto index = number(text.substr(0, slash).c_str());
  const auto count =
      slash == std::string::npos ? std::nullopt : number(text.substr(slash + 1).c_str());
  if (!index || !count || *count < 1 || *count > 1'000'000 || *index < 1 || *index > *count) {
    return Error{fmt::format("--shard {}: must be auto, none, or as 3/16, from 1/16 to 16/16",
                             quote_for_message(text))};
  }
  return std::optional<Shard>(Shard{*index, *count});
}

bool in_shard(const SampleId& id, const Shard& shard) {
  std::string item = id.item_id;
  if (item.ends_with("#2")) item.resize(item.size() - 2);
  const PhiloxKey key = stream_key(0, id.suite, item);
  const PhiloxCounter bits = philox4x32_10({static_cast<uint32_t>(id.sample_index), 0, 0, 6}, key);
  return static_cast<int>(bits[0] % static_cast<uint32_t>(shard.count)) == shard.index - 1;
}

std::set<SampleId> samples_of_shard(const std::vector<Task>& tasks, const Shard& shard) {
  std::set<SampleId> samples;
  for (const Task& task : tasks) {
    for (const auto* items : {&task.items, &task.follow_ups}) {
      for (const Item& item : *items) {
        for (int i = 0; i < task.num_samples; ++i) {
          const SampleId id{task.suite.name, item.id, task.first_sample + i};
          if (in_shard(id, shard)) samples.insert(id);
        }
      }
    }
  }
  return samples;
}

}  // namespace assay
