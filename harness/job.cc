#include "harness/job.h"

#include <fmt/format.h>

#include <charconv>
#include <set>

#include "datasets/dataset.h"
#include "harness/base/hash.h"
#include "harness/base/text.h"

namespace assay {
namespace {

Status check_sampling(const SamplingParams& sampling) {
  const auto fail = [](const std::string& what) { return Error{what}; };
  const double t = sampling.temperature;
  if (!(t == 0 || (t >= 0.01 && t <= 100))) {
    return fail(fmt::format("--temperature {}: must be 0 (greedy) or from 0.01 to 100", t));
  }
  if (!(sampling.top_p > 0 && sampling.top_p <= 1)) {
    return fail(fmt::format("--top-p {}: must be above 0 and at most 1", sampling.top_p));
  }
  if (!(sampling.min_p >= 0 && sampling.min_p < 1)) {
    return fail(fmt::format("--min-p {}: must be at least 0 and below 1", sampling.min_p));
  }
  if (sampling.top_k < 0)
    return fail(fmt::format("--top-k {}: must be at least 0", sampling.top_k));
  if (sampling.max_tokens < 1) {
    return fail(fmt::format("--max-tokens {}: must be at least 1", sampling.max_tokens));
  }
  return {};
}

// "math500:64" → name and sample count
Result<std::pair<std::string, int>> parse_task(const std::string& text) {
  const size_t colon = text.find(':');
  if (colon == std::string::npos) return std::pair(text, 0);
  int count = 0;
  const char* end = text.data() + text.size();
  const auto [parsed, code] = std::from_chars(text.data() + colon + 1, end, count);
  if (code != std::errc() || parsed != end || count < 1) {
    return Error{
        fmt::format("--tasks {}: after \":\" a number of samples from 1 is expected, as in "
                    "math500:64",
                    quote_for_message(text))};
  }
  return std::pair(text.substr(0, colon), count);
}

Result<Task> load_task(const std::string& text, const RunOptions& options) {
  ASSAY_TRY(const auto parsed, parse_task(text));
  Task task;
  ASSAY_TRY(task.suite, find_suite(parsed.first));
  const Suite& suite = task.suite;
  task.num_samples = options.num_samples.value_or(suite.num_samples);
  if (parsed.second > 0) task.num_samples = parsed.second;
  task.first_sample = options.first_sample;
  auto sampling = std::make_shared<SamplingParams>(suite.sampling);
  sampling->temperature = options.temperature.value_or(sampling->temperature);
  sampling->top_p = options.top_p.value_or(sampling->top_p);
  sampling->top_k = options.top_k.value_or(sampling->top_k);
  sampling->min_p = options.min_p.value_or(sampling->min_p);
  sampling->max_tokens = options.max_tokens.value_or(sampling->max_tokens);
  if (!options.stop.empty()) sampling->stop = options.stop;
  ASSAY_TRY_STATUS(check_sampling(*sampling));
  task.sampling = sampling;
  ASSAY_TRY(std::unique_ptr<Scorer> scorer, make_scorer(suite.scorer));
  task.scorer = std::move(scorer);
  const DatasetSpec spec = {suite.name,          suite.data.file,       suite.data.in_tree,
                            suite.data.id_field, suite.data.gold_field, suite.data.fields};
  ASSAY_TRY(Dataset dataset, load_dataset(spec, options.data));
  task.items = std::move(dataset.items);
  if (options.limit && static_cast<size_t>(*options.limit) < task.items.size()) {
    task.items.resize(static_cast<size_t>(*options.limit));
  }
  task.data_path = dataset.path;
  task.data_sha256 = dataset.sha256;
  task.sample_data = dataset.sample;
  return task;
}

}  // namespace

Result<std::vector<Task>> load_tasks(const RunOptions& options) {
  if (options.num_samples && *options.num_samples < 1) {
    return Error{fmt::format("--num-samples {}: must be at least 1", *options.num_samples)};
  }
  if (options.limit && *options.limit < 1) {
    return Error{fmt::format("--limit {}: must be at least 1", *options.limit)};
  }
  if (options.first_sample < 0) {
    return Error{fmt::format("--first-sample {}: must be at least 0", options.first_sample)};
  }
  if (options.tasks.empty()) return Error{"--tasks: name a suite; `assay suites` lists them"};
  std::vector<Task> tasks;
  std::set<std::string> names;
  for (const std::string& text : options.tasks) {
    ASSAY_TRY(Task task, load_task(text, options));
    if (!names.insert(task.suite.name).second) {
      return Error{fmt::format("--tasks: {} stands twice", task.suite.name)};
    }
    tasks.push_back(std::move(task));
  }
  return tasks;
}

JobSource::JobSource(const std::vector<Task>& tasks, const Prompts& prompts, uint64_t seed,
                     const std::set<SampleId>& present)
    : tasks_(tasks), prompts_(prompts), seed_(seed), present_(present) {}

std::optional<Request> JobSource::next() {
  while (task_ < tasks_.size()) {
    const Task& task = tasks_[task_];
    if (item_ >= task.items.size()) {
      ++task_;
      item_ = 0;
      sample_ = 0;
      continue;
    }
    if (sample_ >= task.num_samples) {
      ++item_;
      sample_ = 0;
      continue;
    }
    const Item& item = task.items[item_];
    Request request;
    request.id = {task.suite.name, item.id, task.first_sample + sample_++};
    if (present_.contains(request.id)) continue;
    request.prompt = prompts_.at({task.suite.name, item.id});
    request.sampling = task.sampling;
    request.key = stream_key(seed_, task.suite.name, item.id);
    return request;
  }
  return std::nullopt;
}

}  // namespace assay
