#include "harness/sampling.h"

#include <fmt/format.h>
#include <spdlog/spdlog.h>
#include <tbb/global_control.h>

#include <map>
#include <thread>

#include "harness/base/clock.h"
#include "harness/base/text.h"
#include "harness/pipeline.h"
#include "harness/progress.h"
#include "harness/signals.h"
#include "scorers/answer.h"

namespace assay {

Result<std::vector<std::shared_ptr<const Prompt>>> prompts_of(const Task& task, const Item& item,
                                                              const ModelUnderTest& model) {
  std::vector<std::shared_ptr<const Prompt>> prompts;
  std::map<std::string, std::shared_ptr<const Prompt>> by_text;
  for (int i = 0; i < (task.shuffle_options ? task.num_samples : 1); ++i) {
    ASSAY_TRY(Prompt prompt, model.prompt(task.suite, item, task.first_sample + i, {}));
    auto& shared = by_text[prompt.text];
    if (!shared) shared = std::make_shared<const Prompt>(std::move(prompt));
    prompts.push_back(shared);
  }
  return prompts;
}

Status sample_all(const RunOptions& options, const std::vector<Task>& tasks,
                  const JobSource::Prompts& prompts, ModelUnderTest& model, RunStore& store,
                  const std::set<SampleId>* wanted) {
  ASSAY_TRY(const std::set<SampleId> present, store.sample_ids());
  Pipeline::Judges judges;
  int64_t total = 0, there = 0;
  for (const Task& task : tasks) {
    for (const Item& item : task.items) {
      judges[{task.suite.name, item.id}] = {&item, task.scorer.get()};
      for (int i = 0; i < task.num_samples; ++i) {
        const SampleId id{task.suite.name, item.id, task.first_sample + i};
        if (wanted != nullptr && !wanted->contains(id)) continue;
        ++total;
        there += present.contains(id) ? 1 : 0;
      }
    }
  }
  if (there > 0 && wanted == nullptr) {
    spdlog::info("goes on with {} of {} samples that are there",
                 with_commas(static_cast<uint64_t>(there)),
                 with_commas(static_cast<uint64_t>(total)));
  }
  if (there >= total) return {};
  const int threads = options.threads > 0
                          ? options.threads
                          : static_cast<int>(std::max(1u, std::thread::hardware_concurrency()));
  const int scoring = options.scoring_threads > 0 ? options.scoring_threads : threads;
  // One thread more than the engine computes with, so that scoring always has one.
  const tbb::global_control limit(tbb::global_control::max_allowed_parallelism,
                                  static_cast<size_t>(std::max(threads, scoring)) + 1);
  Engine& engine = model.engine();
  const uint64_t generated_before = engine.stats().generated_tokens;
  const uint64_t prefilled_before = engine.stats().prefill_tokens;
  const double started_s = monotonic_s();
  Status generated, stored;
  {
    Progress progress(total, there, engine.stats());
    Pipeline pipeline(judges, store, progress, scoring);
    JobSource source(tasks, prompts, options.seed, present, wanted);
    generated = engine.generate(source, pipeline, stop_requested());
    stored = pipeline.finish();
  }
  ASSAY_TRY_STATUS(stored);
  ASSAY_TRY_STATUS(store.add_session({monotonic_s() - started_s,
                                      engine.stats().generated_tokens - generated_before,
                                      engine.stats().prefill_tokens - prefilled_before}));
  return generated;
}

Status sample_follow_ups(const RunOptions& options, const std::vector<Task>& tasks,
                         ModelUnderTest& model, RunStore& store, const std::set<SampleId>* wanted) {
  std::vector<Task> second;
  JobSource::Prompts prompts;
  for (const Task& task : tasks) {
    if (task.follow_ups.empty()) continue;
    Task turn = task;
    turn.items = task.follow_ups;
    for (size_t i = 0; i < task.items.size(); ++i) {
      const Item& item = task.follow_ups[i];
      auto& of_item = prompts[{task.suite.name, item.id}];
      for (int k = task.first_sample; k < task.first_sample + task.num_samples; ++k) {
        if (wanted != nullptr && !wanted->contains({task.suite.name, item.id, k})) {
          of_item.push_back(nullptr);  // another shard's
          continue;
        }
        ASSAY_TRY(const auto first, store.find({task.suite.name, task.items[i].id, k}));
        if (!first) {
          return Error{fmt::format("{} {}: its first turn is not stored", task.suite.name,
                                   task.items[i].id)};
        }
        const Completion& completion = first->completion;
        const auto answer = answer_part(completion.text, completion.opens_thought);
        const std::vector<std::string> history = {
            render_user_prompt(task.suite, task.items[i], k),
            std::string(trim(answer.value_or(std::string_view())))};
        ASSAY_TRY(Prompt prompt, model.prompt(task.suite, item, k, history));
        of_item.push_back(std::make_shared<const Prompt>(std::move(prompt)));
      }
    }
    second.push_back(std::move(turn));
  }
  return second.empty() ? Status() : sample_all(options, second, prompts, model, store, wanted);
}

}  // namespace assay
