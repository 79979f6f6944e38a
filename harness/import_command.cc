#include <fmt/format.h>

#include <map>
#include <memory>
#include <set>

#include "harness/base/file.h"
#include "harness/base/hash.h"
#include "harness/base/json.h"
#include "harness/base/text.h"
#include "harness/commands.h"
#include "harness/foreign_samples.h"
#include "harness/job.h"
#include "harness/run_flags.h"

namespace assay {
namespace {

struct ImportArguments {
  std::vector<std::string> files;
  RunOptions run;
};

// White space told apart by no two programs alike is all the same.
std::string normal(std::string_view text) {
  std::string out;
  for (const char c : trim(text)) {
    const bool space = c == ' ' || c == '\t' || c == '\n' || c == '\r';
    if (!space) {
      out += c;
    } else if (!out.empty() && out.back() != ' ') {
      out += ' ';
    }
  }
  return out;
}

// The suite's item that each question is: by id, else by its text, as a field or in the prompt.
class ItemFinder {
 public:
  explicit ItemFinder(const std::vector<Item>& items) {
    for (const Item& item : items) {
      by_id_[item.id] = &item;
      const std::string text = question_text(item);
      if (text.size() < 8) continue;
      by_text_.emplace(text, &item);
      texts_.emplace_back(text, &item);
    }
  }

  const Item* find(const ForeignQuestion& question) const {
    for (const std::string& text : question.texts) {
      const auto found = by_text_.find(normal(text));
      if (found != by_text_.end()) return found->second;
    }
    for (const std::string& id : question.ids) {
      const auto found = by_id_.find(id);
      // A row's number may mean another question there.
      if (found != by_id_.end() && !is_number(id)) return found->second;
    }
    const Item* best = nullptr;
    size_t longest = 0;
    for (const std::string& text : question.texts) {
      const std::string whole = normal(text);
      for (const auto& [own, item] : texts_) {
        if (own.size() > longest && whole.find(own) != std::string::npos) {
          best = item;
          longest = own.size();
        }
      }
    }
    if (best != nullptr) return best;
    for (const std::string& id : question.ids) {
      const auto found = by_id_.find(id);
      if (found != by_id_.end() && question.texts.empty()) return found->second;
    }
    return nullptr;
  }

 private:
  static bool is_number(const std::string& text) {
    return text.find_first_not_of("0123456789") == std::string::npos;
  }
  // The longest of the fields, but for what only scorers look at.
  static std::string question_text(const Item& item) {
    static const std::set<std::string> kOther = {"tests",        "test",    "options",
                                                 "base_input",   "group",   "plus_input",
                                                 "option_order", "examples"};
    std::string longest;
    for (const auto& [field, value] : item.fields) {
      if (!kOther.contains(field) && value.size() > longest.size()) longest = value;
    }
    return normal(longest);
  }

  std::map<std::string, const Item*> by_id_, by_text_;
  std::vector<std::pair<std::string, const Item*>> texts_;
};

struct Mapped {
  std::map<std::string, std::vector<Completion>> samples;  // by item id
  std::map<std::string, std::string> prompts;
  std::vector<std::string> unmapped;  // places
};

Mapped map_to_items(ForeignSamples& foreign, const std::vector<Item>& items) {
  const ItemFinder finder(items);
  Mapped mapped;
  for (ForeignQuestion& question : foreign.questions) {
    const Item* item = finder.find(question);
    if (item == nullptr) {
      mapped.unmapped.push_back(question.place);
      continue;
    }
    mapped.prompts[item->id] = question.prompt;
    std::vector<Completion>& samples = mapped.samples[item->id];
    for (Completion& sample : question.samples) samples.push_back(std::move(sample));
  }
  return mapped;
}

std::string completions_text(const Mapped& mapped, const std::vector<Item>& items, size_t count) {
  std::string text;
  for (const Item& item : items) {
    const auto found = mapped.samples.find(item.id);
    if (found == mapped.samples.end()) continue;
    for (size_t i = 0; i < count; ++i) {
      const Completion& sample = found->second[i];
      OrderedJson row = {{"id", item.id},
                         {"completion", sample.text},
                         {"finish_reason", to_string(sample.finish_reason)},
                         {"completion_tokens", sample.counted_tokens},
                         {"thought_tokens", sample.thought_tokens},
                         {"prompt_tokens", sample.prompt_tokens},
                         {"logprob", sample.logprob},
                         {"opens_thought", sample.opens_thought}};
      if (i == 0) row["prompt"] = mapped.prompts.at(item.id);
      text += dump_json(row) + "\n";
    }
  }
  return text;
}

void list_unmapped(const Mapped& mapped) {
  constexpr size_t kShown = 10;
  if (mapped.unmapped.empty()) return;
  fmt::print(stderr, "assay: {} questions of the files are none of the suite's:\n",
             mapped.unmapped.size());
  for (size_t i = 0; i < std::min(kShown, mapped.unmapped.size()); ++i) {
    fmt::print(stderr, "  {}\n", mapped.unmapped[i]);
  }
  if (mapped.unmapped.size() > kShown) fmt::print(stderr, "  …\n");
}

Status import_files(ImportArguments& arguments, int* exit_code) {
  RunOptions& run = arguments.run;
  if (run.tasks.size() != 1) {
    return Error{"import: name the suite that the samples are of, as --tasks math500"};
  }
  ASSAY_TRY(ForeignSamples foreign, read_foreign_samples(arguments.files));
  ASSAY_TRY(const Job job, load_job(run));
  if (job.tasks.size() != 1) return Error{"import: one suite at a time"};
  const std::vector<Item>& items = job.tasks[0].items;
  Mapped mapped = map_to_items(foreign, items);
  list_unmapped(mapped);
  if (mapped.samples.empty()) {
    return Error{fmt::format("{}: none of its {} questions is one of {}", arguments.files.front(),
                             foreign.questions.size(), job.tasks[0].suite.name)};
  }
  size_t least = SIZE_MAX, most = 0;
  for (const auto& [id, samples] : mapped.samples) {
    least = std::min(least, samples.size());
    most = std::max(most, samples.size());
  }
  if (run.num_samples) least = std::min(least, static_cast<size_t>(*run.num_samples));
  if (least < most) {
    fmt::print(stderr, "assay: takes {} samples of each question; some have {}\n", least, most);
  }
  if (mapped.samples.size() < items.size()) {
    fmt::print(stderr, "assay: {} of the suite's {} questions have no samples and are left out\n",
               items.size() - mapped.samples.size(), items.size());
    run.questions.clear();
    for (const Item& item : items) {
      if (mapped.samples.contains(item.id)) run.questions.push_back(item.id);
    }
  }
  const std::string text = completions_text(mapped, items, least);
  if (run.output_dir.empty()) {
    run.output_dir =
        fmt::format("runs/import-{}-{}", job.tasks[0].suite.name, sha256_hex(text).substr(0, 8));
  }
  ASSAY_TRY_STATUS(create_directories(run.output_dir));
  const std::string path = run.output_dir + "/imported.jsonl";
  ASSAY_TRY_STATUS(write_file_atomically(path, text));
  run.model = "completions:" + path;
  run.model_name = foreign.model.empty() ? foreign.format : foreign.model;
  run.num_samples = static_cast<int>(least);
  run.temperature = foreign.temperature;
  run.top_p = foreign.top_p;
  run.max_tokens = foreign.max_tokens;
  if (run.temperature && *run.temperature > 0 && *run.temperature < 0.01) run.temperature = 0;
  fmt::print(stderr, "assay: {} questions of {}, {} samples each\n", mapped.samples.size(),
             foreign.format, least);
  *exit_code = run_job(run);
  return {};
}

}  // namespace

void add_import_command(CLI::App& app, int* exit_code) {
  auto arguments = std::make_shared<ImportArguments>();
  CLI::App* command =
      app.add_subcommand("import", "Make a run of samples that another program stored");
  command
      ->add_option("files", arguments->files,
                   "lm-eval's samples_*.jsonl, inspect's .eval or .json, lighteval's details as "
                   "JSON lines, samples of EvalPlus, LiveCodeBench or NeMo-Skills")
      ->required();
  command->add_option("--tasks,-t", arguments->run.tasks, "The suite of the samples")
      ->required()
      ->delimiter(',');
  command->add_option("--num-samples,-n", arguments->run.num_samples,
                      "The first samples of each question");
  command->add_option("--limit,-l", arguments->run.limit, "Only the suite's first questions");
  command->add_option("--grader", arguments->run.grader, "default, strict or official")
      ->capture_default_str();
  arguments->run.data = default_data_folder();
  command->add_option("--data", arguments->run.data, "Folder of the suites' data")
      ->envname("ASSAY_DATA");
  command
      ->add_option("--judge", arguments->run.judges,
                   "Model that judges answers of suites that need one; may be repeated")
      ->multi_option_policy(CLI::MultiOptionPolicy::TakeAll);
  add_sandbox_flags(*command, arguments->run);
  command->add_option("--output-dir,-o", arguments->run.output_dir, "Where the run is stored");
  command->footer("Example:\n  assay import samples_math500_2026-11-26.jsonl --tasks math500");
  command->callback([arguments, exit_code] {
    const Status status = import_files(*arguments, exit_code);
    if (!status.ok()) *exit_code = fail(status.error());
  });
}

}  // namespace assay
