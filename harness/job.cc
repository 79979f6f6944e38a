#include "harness/job.h"

#include <fmt/format.h>

#include <algorithm>
#include <charconv>
#include <numeric>
#include <set>

#include "datasets/dataset.h"
#include "harness/base/file.h"
#include "harness/base/hash.h"
#include "harness/base/json.h"
#include "harness/base/text.h"
#include "harness/run_flags.h"
#include "scorers/code/code.h"

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

// The first `limit` items of each group, or of all where there are no groups.
void keep_first(int limit, std::vector<Item>& items) {
  std::map<std::string, int> kept;
  std::erase_if(items, [&](const Item& item) {
    const auto group = item.fields.find("group");
    return ++kept[group == item.fields.end() ? "" : group->second] > limit;
  });
}

Status keep_named(const std::vector<std::string>& ids, const std::string& suite,
                  std::vector<Item>& items) {
  const std::set<std::string> wanted(ids.begin(), ids.end());
  std::erase_if(items, [&](const Item& item) { return !wanted.contains(item.id); });
  if (!items.empty()) return {};
  return Error{
      fmt::format("--questions: {} has no question {}", suite, quote_for_message(ids.front()))};
}

bool runs_programs(const std::string& scorer) {
  return scorer.starts_with("humaneval") || scorer == "code_tests";
}

// The ratings that 0, 1, …, 1000 of 1000 people are at or below, from {"rating": people}.
Result<std::vector<double>> read_population(const std::string& path) {
  ASSAY_TRY(const Json json, read_json_file(path));
  const auto wrong = [&] {
    return Error{path +
                 ": must be an object of ratings and how many people have each, as in "
                 "{\"1500\": 120}"};
  };
  if (!json.is_object() || json.empty()) return wrong();
  std::map<double, double> people;
  double all = 0;
  for (const auto& [key, count] : json.items()) {
    double rating = 0;
    const auto [end, code] = std::from_chars(key.data(), key.data() + key.size(), rating);
    if (code != std::errc() || end != key.data() + key.size()) return wrong();
    if (!count.is_number() || !(count.get<double>() > 0)) return wrong();
    people[rating] += count.get<double>();
    all += count.get<double>();
  }
  std::vector<double> permille;
  double below = 0;
  for (const auto& [rating, count] : people) {
    below += count;
    while (static_cast<double>(permille.size()) * all <= 1000 * below) permille.push_back(rating);
  }
  permille.resize(1001, people.rbegin()->first);  // where the sum of counts was rounded
  return permille;
}

Status read_populations(Suite& suite, const std::string& data_folder) {
  for (Measure& measure : suite.measures) {
    const std::string path = data_folder + "/" + measure.population;
    if (measure.population.empty() || data_folder.empty() || !file_exists(path)) continue;
    ASSAY_TRY(measure.permille, read_population(path));
  }
  return {};
}

Result<Task> load_task(const std::string& text, const RunOptions& options) {
  ASSAY_TRY(const auto parsed, parse_task(text));
  Task task;
  ASSAY_TRY(task.suite, find_suite(parsed.first));
  const Suite& suite = task.suite;
  task.num_samples = options.num_samples.value_or(suite.num_samples);
  if (parsed.second > 0) task.num_samples = parsed.second;
  task.first_sample = options.first_sample;
  task.release = options.release;
  task.from = options.from;
  task.to = options.to;
  auto sampling = std::make_shared<SamplingParams>(suite.sampling);
  sampling->temperature = options.temperature.value_or(sampling->temperature);
  sampling->top_p = options.top_p.value_or(sampling->top_p);
  sampling->top_k = options.top_k.value_or(sampling->top_k);
  sampling->min_p = options.min_p.value_or(sampling->min_p);
  sampling->max_tokens = options.max_tokens.value_or(sampling->max_tokens);
  if (!options.stop.empty()) sampling->stop = options.stop;
  ASSAY_TRY_STATUS(check_sampling(*sampling));
  task.sampling = sampling;
  task.scorer_name =
      options.grader == "default" ? suite.scorer : suite.scorer + ":" + options.grader;
  if (options.all_tests) {
    if (suite.scorer != "code_tests") {
      return Error{
          fmt::format("--all-tests: answers to {} are not programs with tests", suite.name)};
    }
    task.scorer_name = "code_tests:all_tests";
    task.suite.measures.push_back({"tests passed", "tests_passed", "", "percent"});
  }
  ASSAY_TRY(std::unique_ptr<Scorer> scorer, make_scorer(task.scorer_name));
  task.scorer = std::move(scorer);
  if (runs_programs(suite.scorer)) {
    const Status able = can_run_programs();
    if (!able.ok()) {
      return Error{
          fmt::format("{}: its answers are programs, and {}", suite.name, able.error().message)};
    }
  }
  const auto there = std::find_if(suite.data.begin(), suite.data.end(), [&](const DataSpec& spec) {
    return data_is_there(spec, options.data);
  });
  DataSpec spec = there == suite.data.end() ? suite.data.front() : *there;
  if (!options.release.empty()) {
    ASSAY_TRY(spec, of_release(suite.data.front(), options.release));
  }
  task.shuffle_options = spec.shuffle_options;
  ASSAY_TRY(Dataset dataset, load_dataset(spec, options.data));
  task.items = std::move(dataset.items);
  if (!options.from.empty() || !options.to.empty()) {
    if (spec.date_field.empty()) {
      return Error{fmt::format("--from, --to: the questions of {} have no dates", suite.name)};
    }
    std::erase_if(task.items, [&](const Item& item) {
      const std::string& date = item.fields.at("date");
      // Of a month given as the end every day is meant.
      return date < options.from ||
             (!options.to.empty() && date.substr(0, options.to.size()) > options.to);
    });
    if (task.items.empty()) {
      return Error{fmt::format("--from {} --to {}: {} has no questions of these dates",
                               options.from, options.to, suite.name)};
    }
  }
  if (!options.questions.empty()) {
    ASSAY_TRY_STATUS(keep_named(options.questions, suite.name, task.items));
    task.questions = options.questions;
  }
  if (options.limit) keep_first(*options.limit, task.items);
  if (!suite.follow_up_prompt.empty()) {
    task.follow_ups = task.items;
    for (Item& item : task.follow_ups) item.id += "#2";
  }
  ASSAY_TRY_STATUS(read_populations(task.suite, options.data));
  task.data_path = dataset.path;
  task.data_sha256 = dataset.sha256;
  task.sample_data = dataset.sample;
  return task;
}

// For "all": what is missing and what could be run, in one error.
Status all_data_are_there(const std::vector<std::string>& names, const std::string& data_folder) {
  std::vector<std::string> missing, there;
  for (const std::string& name : names) {
    ASSAY_TRY(const Suite suite, find_suite(name));
    if (suite.data.empty()) continue;
    const bool found = std::any_of(suite.data.begin(), suite.data.end(), [&](const DataSpec& spec) {
      return data_is_there(spec, data_folder);
    });
    if (found) {
      there.push_back(name);
    } else {
      missing.push_back(fmt::format("{} ({})", name, data_files(suite.data.front()).front()));
    }
  }
  if (missing.empty()) return {};
  return Error{
      fmt::format("--tasks all: the data of some suites are not there: {}. Name their folder "
                  "with --data DIR or ASSAY_DATA, or take those that are there: --tasks {}",
                  join(missing, ", "), join(there, ","))};
}

// "all" and composites as the suites that they stand for; a component that is named on its own, or
// that there is no suite for, is not added.
Result<std::vector<std::string>> expanded(const std::vector<std::string>& tasks,
                                          const std::string& data_folder,
                                          std::vector<Suite>& composites) {
  ASSAY_TRY(const std::vector<std::string> known, suite_names());
  std::vector<std::string> given, texts, from_composites;
  for (const std::string& text : tasks) {
    if (text == "all") {
      ASSAY_TRY_STATUS(all_data_are_there(known, data_folder));
      given.insert(given.end(), known.begin(), known.end());
    } else {
      given.push_back(text);
    }
  }
  std::set<std::string> named;
  for (const std::string& text : given) {
    ASSAY_TRY(const auto parsed, parse_task(text));
    ASSAY_TRY(Suite suite, find_suite(parsed.first));
    if (!suite.command.empty()) {
      if (text != parsed.first || std::find(tasks.begin(), tasks.end(), text) == tasks.end())
        continue;
      return Error{fmt::format("--tasks {}: is not sampled; run `{}`", suite.name, suite.command)};
    }
    if (suite.components.empty()) {
      texts.push_back(text);
      named.insert(suite.name);
      continue;
    }
    if (parsed.second > 0) {
      return Error{
          fmt::format("--tasks {}: is a composite; give its components their samples, as "
                      "in {},{}:8",
                      text, suite.name, suite.components.front().suite)};
    }
    for (const Component& component : suite.components) from_composites.push_back(component.suite);
    composites.push_back(std::move(suite));
  }
  for (const std::string& name : from_composites) {
    const bool there = std::find(known.begin(), known.end(), name) != known.end();
    if (there && named.insert(name).second) texts.push_back(name);
  }
  return texts;
}

// 0 … n−1, samples of one prompt one after the other.
std::vector<int> together(const std::vector<std::shared_ptr<const Prompt>>& prompts, int n) {
  std::vector<int> order(static_cast<size_t>(n));
  std::iota(order.begin(), order.end(), 0);
  if (prompts.size() == 1) return order;
  std::map<const Prompt*, int> first;
  for (int i = 0; i < n; ++i) first.try_emplace(prompts[static_cast<size_t>(i)].get(), i);
  std::stable_sort(order.begin(), order.end(), [&](int a, int b) {
    return first[prompts[static_cast<size_t>(a)].get()] <
           first[prompts[static_cast<size_t>(b)].get()];
  });
  return order;
}

}  // namespace

Result<Job> load_job(const RunOptions& options) {
  ASSAY_TRY_STATUS(use_sandbox(options));
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
  Job job;
  ASSAY_TRY(const std::vector<std::string> texts,
            expanded(options.tasks, options.data, job.composites));
  std::set<std::string> names;
  for (const std::string& text : texts) {
    ASSAY_TRY(Task task, load_task(text, options));
    if (!names.insert(task.suite.name).second) {
      return Error{fmt::format("--tasks: {} stands twice", task.suite.name)};
    }
    job.tasks.push_back(std::move(task));
  }
  return job;
}

JobSource::JobSource(const std::vector<Task>& tasks, const Prompts& prompts, uint64_t seed,
                     const std::set<SampleId>& present, const std::set<SampleId>* wanted)
    : tasks_(tasks), prompts_(prompts), seed_(seed), present_(present), wanted_(wanted) {}

std::optional<Request> JobSource::next() {
  while (task_ < tasks_.size()) {
    const Task& task = tasks_[task_];
    if (item_ >= task.items.size()) {
      ++task_;
      item_ = 0;
      sample_ = 0;
      continue;
    }
    const Item& item = task.items[item_];
    const auto& prompts = prompts_.at({task.suite.name, item.id});
    if (sample_ == 0) order_ = together(prompts, task.num_samples);
    if (sample_ >= order_.size()) {
      ++item_;
      sample_ = 0;
      continue;
    }
    const int offset = order_[sample_++];
    Request request;
    request.id = {task.suite.name, item.id, task.first_sample + offset};
    if (present_.contains(request.id)) continue;
    if (wanted_ != nullptr && !wanted_->contains(request.id)) continue;
    request.prompt = prompts.size() == 1 ? prompts.front() : prompts[static_cast<size_t>(offset)];
    request.sampling = task.sampling;
    request.key = stream_key(seed_, task.suite.name, item.id);
    return request;
  }
  return std::nullopt;
}

}  // namespace assay
