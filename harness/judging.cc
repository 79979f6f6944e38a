#include "harness/judging.h"

#include <fmt/format.h>
#include <re2/re2.h>
#include <spdlog/spdlog.h>

#include <map>
#include <set>

#include "harness/base/file.h"
#include "harness/base/json.h"
#include "harness/base/text.h"
#include "harness/model.h"
#include "harness/sampling.h"
#include "harness/signals.h"
#include "results/agreement.h"
#include "results/report.h"
#include "scorers/answer.h"
#include "scorers/judge/judgment.h"
#include "suites/suite.h"

namespace assay {
namespace {

using ItemKey = std::pair<std::string, std::string>;  // suite and item id

// What a judge wrote is only read when all judgments of an answer are there.
class JudgmentReader : public Scorer {
 public:
  std::string id() const override { return "judgment/1"; }
  std::string rules() const override { return "judgment"; }
  Verdict score(const Item&, const Completion&) const override {
    Verdict verdict;
    verdict.rule = "judgment";
    return verdict;
  }
  bool same_answer(std::string_view a, std::string_view b) const override { return a == b; }
};

// One answer that a judge is to read.
struct Answer {
  SampleId id;
  Verdict before;
  std::string text;
  bool needs_judge = false;
};

struct JudgedSuite {
  Suite suite;
  std::map<std::string, Item> items;
  std::vector<Answer> answers;
  std::map<SampleId, size_t> place;  // among the answers
};

Result<std::vector<JudgedSuite>> judged_suites(RunStore& store) {
  ASSAY_TRY(const auto manifest, store.manifest());
  std::vector<JudgedSuite> judged;
  if (!manifest) return judged;
  try {
    for (const PlannedSuite& plan : planned_suites(*manifest)) {
      ASSAY_TRY(Suite suite, find_suite(plan.suite));
      if (!suite.judge) continue;
      judged.emplace_back();
      judged.back().suite = std::move(suite);
    }
  } catch (const OrderedJson::exception&) {
    return Error{store.folder() + ": its manifest is damaged"};
  }
  if (judged.empty()) return judged;
  ASSAY_TRY(const std::vector<StoredItem> items, store.items());
  for (JudgedSuite& one : judged) {
    for (const StoredItem& stored : items) {
      if (stored.item.suite == one.suite.name) one.items[stored.item.id] = stored.item;
    }
  }
  ASSAY_TRY_STATUS(store.for_each([&](const SampleRecord& record) -> Status {
    for (JudgedSuite& one : judged) {
      const Completion& completion = record.completion;
      if (completion.id.suite != one.suite.name) continue;
      const auto part = answer_part(completion.text, completion.opens_thought);
      const std::string& rule = record.verdict.rule;
      one.place[completion.id] = one.answers.size();
      one.answers.push_back({completion.id, record.verdict,
                             std::string(trim(part.value_or(std::string_view()))),
                             rule == "not_judged" || rule == "judged"});
    }
    return {};
  }));
  return judged;
}

// The system message and the prompt of a judge, from the suite or from the file that it names.
Status load_prompt(const RunOptions& options, JudgePrompt& prompt) {
  if (prompt.file.empty()) return {};
  const std::string path = options.data + "/" + prompt.file;
  if (options.data.empty() || !file_exists(path)) {
    return Error{
        fmt::format("{}: not there; the judge's prompts are in it. Name the folder that "
                    "holds {} with --data DIR or ASSAY_DATA",
                    path, prompt.file)};
  }
  ASSAY_TRY(const std::string text, read_file(path));
  int line_number = 0;
  for (const std::string& line : split(text, '\n')) {
    ++line_number;
    if (trim(line).empty()) continue;
    const std::string place = fmt::format("{}:{}", path, line_number);
    ASSAY_TRY(const Json row, parse_json(line, place));
    JsonReader reader(row, place);
    ASSAY_TRY_STATUS(reader.must_be_object());
    ASSAY_TRY(const std::string name, reader.text("name"));
    if (name != prompt.name) continue;
    ASSAY_TRY(prompt.system, reader.text("system_prompt"));
    ASSAY_TRY(prompt.prompt, reader.text("prompt_template"));
    re2::RE2::GlobalReplace(&prompt.prompt, R"(\{([a-z_0-9]+)\})", R"({{\1}})");
    return {};
  }
  return Error{fmt::format("{}: has no prompt {}", path, quote_for_message(prompt.name))};
}

// Every {{field}} of the text, in one pass: an answer that holds "{{…}}" is not read again.
Result<std::string> filled(const std::string& text,
                           const std::map<std::string, std::string>& fields,
                           const std::string& prompt_name) {
  std::string out;
  for (size_t at = 0; at < text.size();) {
    const size_t begin = text.find("{{", at), end = text.find("}}", begin);
    if (begin == std::string::npos || end == std::string::npos) return out + text.substr(at);
    out += text.substr(at, begin - at);
    const std::string field = text.substr(begin + 2, end - begin - 2);
    const auto found = fields.find(field);
    if (found == fields.end()) {
      return Error{fmt::format("judge's prompt {}: there is no field {}", prompt_name,
                               quote_for_message(field))};
    }
    out += found->second;
    at = end + 2;
  }
  return out;
}

// The fields that a judge's prompt may use for an answer.
std::map<std::string, std::string> fields_of(const JudgedSuite& judged, const Answer& answer) {
  const Item& item = judged.items.at(answer.id.item_id);
  std::map<std::string, std::string> fields = item.fields;
  fields["gold"] = item.gold;
  fields["answer"] = answer.text;
  const int sample = answer.id.sample_index;
  fields["question"] = render_user_prompt(judged.suite, item, sample);
  if (!is_follow_up(item)) return fields;
  Item first = item;
  first.id.resize(first.id.size() - 2);
  fields["question_1"] = render_user_prompt(judged.suite, first, sample);
  fields["question_2"] = fields["question"];
  fields["answer_2"] = answer.text;
  const auto other = judged.place.find({answer.id.suite, first.id, sample});
  if (other != judged.place.end()) fields["answer_1"] = judged.answers[other->second].text;
  return fields;
}

// The prompt that fits the answer: the first whose turn and field are the answer's.
const JudgePrompt* prompt_for(const std::vector<JudgePrompt>& prompts, const Item& item) {
  for (const JudgePrompt& prompt : prompts) {
    if (prompt.turn != 0 && prompt.turn != (is_follow_up(item) ? 2 : 1)) continue;
    if (!prompt.with.empty()) {
      const auto field = item.fields.find(prompt.with);
      if (field == item.fields.end() || field->second.empty()) continue;
    }
    return &prompt;
  }
  return nullptr;
}

std::string plain_name(std::string name) {
  for (char& c : name) {
    const bool plain = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
                       c == '-' || c == '.' || c == '_';
    if (!plain) c = '_';
  }
  return name;
}

// What one judge is asked about the answers of one suite.
Result<std::vector<Task>> judge_tasks(const RunOptions& options, const JudgedSuite& judged,
                                      const std::string& judge_name) {
  const JudgeSpec& spec = *judged.suite.judge;
  std::vector<JudgePrompt> prompts = spec.prompts;
  std::map<std::string, Task> tasks;
  for (JudgePrompt& prompt : prompts) {
    ASSAY_TRY_STATUS(load_prompt(options, prompt));
    Task& task = tasks[prompt.name];
    task.suite.name = fmt::format("{}@{}/{}", judged.suite.name, judge_name, prompt.name);
    task.suite.system_prompt = prompt.system;
    task.suite.user_prompt = "{{judge_prompt}}";
    task.num_samples = 1;
    auto sampling = std::make_shared<SamplingParams>();
    sampling->temperature = spec.temperature;
    sampling->top_p = 1;
    sampling->max_tokens = spec.max_tokens;
    task.sampling = sampling;
    task.scorer = std::make_shared<JudgmentReader>();
  }
  for (const Answer& answer : judged.answers) {
    if (!answer.needs_judge) continue;
    const Item& item = judged.items.at(answer.id.item_id);
    const JudgePrompt* prompt = prompt_for(prompts, item);
    if (prompt == nullptr) continue;
    std::map<std::string, std::string> fields = fields_of(judged, answer);
    const bool pairwise = spec.kind == JudgeKind::kPairwise;
    for (const char* order :
         pairwise ? std::vector<const char*>{"ab", "ba"} : std::vector<const char*>{"a"}) {
      if (pairwise) {
        const bool first = order == std::string_view("ab");
        fields["answer_a"] = first ? answer.text : fields[spec.baseline];
        fields["answer_b"] = first ? fields[spec.baseline] : answer.text;
      }
      Item asked;
      asked.suite = tasks[prompt->name].suite.name;
      asked.id = fmt::format("{}/{}/{}", item.id, answer.id.sample_index, order);
      ASSAY_TRY(asked.fields["judge_prompt"], filled(prompt->prompt, fields, prompt->name));
      tasks[prompt->name].items.push_back(std::move(asked));
    }
  }
  std::vector<Task> out;
  for (auto& [name, task] : tasks) {
    if (!task.items.empty()) out.push_back(std::move(task));
  }
  return out;
}

// Has one model judge.
Status ask_judge(const RunOptions& options, const std::string& judge,
                 const std::vector<JudgedSuite>& judged, RunStore& store) {
  RunOptions judge_options = options;
  judge_options.model = judge;
  ASSAY_TRY(const std::unique_ptr<ModelUnderTest> model, open_model(judge_options));
  std::vector<Task> tasks;
  for (const JudgedSuite& one : judged) {
    ASSAY_TRY(std::vector<Task> more, judge_tasks(options, one, plain_name(model->name())));
    for (Task& task : more) tasks.push_back(std::move(task));
  }
  ASSAY_TRY(const std::vector<StoredItem> present, store.items());
  int ordinal = static_cast<int>(present.size());
  std::vector<StoredItem> items;
  JobSource::Prompts prompts;
  for (const Task& task : tasks) {
    for (const Item& item : task.items) {
      ASSAY_TRY(auto of_item, prompts_of(task, item, *model));
      // The prompt holds the fields, so they are not kept twice.
      StoredItem stored{item, ordinal++, *of_item.front()};
      stored.item.fields.clear();
      items.push_back(std::move(stored));
      prompts[{task.suite.name, item.id}] = std::move(of_item);
    }
  }
  ASSAY_TRY_STATUS(store.add_items(items));
  ASSAY_TRY(auto manifest, store.manifest());
  (*manifest)["judges"][plain_name(model->name())] = model->identity();
  ASSAY_TRY_STATUS(store.set_manifest(*manifest));
  spdlog::info("{} judges {} answers", model->name(), items.size());
  ASSAY_TRY_STATUS(sample_all(judge_options, tasks, prompts, *model, store));
  const EngineStats& stats = model->engine().stats();
  spdlog::info("{} read {} prompt tokens and wrote {}", model->name(),
               with_commas(stats.prefill_tokens), with_commas(stats.generated_tokens));
  return {};
}

// A judge's text about an answer, and the order that it is about.
struct Judgment {
  std::string judge;
  bool swapped = false;
  std::string text;
};
using Judgments = std::map<SampleId, std::vector<Judgment>>;

Result<Judgments> stored_judgments(RunStore& store) {
  Judgments judgments;
  ASSAY_TRY_STATUS(store.for_each([&](const SampleRecord& record) -> Status {
    const Completion& completion = record.completion;
    if (!is_judgment(completion.id)) return {};
    const std::string& name = completion.id.suite;
    const size_t at = name.find('@');
    const std::string suite = name.substr(0, at);
    const std::string judge = name.substr(at + 1, name.find('/', at) - at - 1);
    const std::string& id = completion.id.item_id;
    const size_t order = id.rfind('/');
    const size_t sample =
        order == std::string::npos || order == 0 ? order : id.rfind('/', order - 1);
    if (sample == std::string::npos) return {};
    const int index = std::atoi(id.substr(sample + 1, order - sample - 1).c_str());
    const auto part = answer_part(completion.text, completion.opens_thought);
    judgments[{suite, id.substr(0, sample), index}].push_back(
        {judge, id.substr(order + 1) == "ba", std::string(part.value_or(std::string_view()))});
    return {};
  }));
  return judgments;
}

// A judgment as a number, for the agreement of judges: preference, rating, or 1 for correct.
std::optional<double> value_of(const JudgeSpec& spec, const Judgment& judgment) {
  if (spec.kind == JudgeKind::kPairwise) {
    const auto preference = parse_preference(judgment.text);
    if (!preference) return std::nullopt;
    return judgment.swapped ? -*preference : *preference;
  }
  if (spec.kind == JudgeKind::kRating) return parse_rating(judgment.text);
  const auto correct = parse_correctness(judgment.text);
  return correct ? std::optional(correct->correct ? 1.0 : 0.0) : std::nullopt;
}

Verdict verdict_of(const JudgeSpec& spec, const std::vector<Judgment>& judgments) {
  std::vector<int> preferences;
  std::vector<double> ratings;
  std::vector<Correctly> correct;
  int unread = 0;
  for (const Judgment& judgment : judgments) {
    const auto value = value_of(spec, judgment);
    if (!value) {
      ++unread;
    } else if (spec.kind == JudgeKind::kPairwise) {
      preferences.push_back(static_cast<int>(*value));
    } else if (spec.kind == JudgeKind::kRating) {
      ratings.push_back(*value);
    } else {
      correct.push_back(*parse_correctness(judgment.text));
    }
  }
  Verdict verdict;
  if (preferences.empty() && ratings.empty() && correct.empty()) {
    verdict.rule = "not_judged";
    verdict.detail = "no judgment could be read";
    return verdict;
  }
  verdict = spec.kind == JudgeKind::kPairwise ? pairwise_verdict(preferences)
            : spec.kind == JudgeKind::kRating ? rating_verdict(ratings)
                                              : correctness_verdict(correct);
  if (unread > 0) verdict.detail = fmt::format("{} judgments could not be read", unread);
  return verdict;
}

// Says how far several judges agree, and keeps it in the manifest.
Status report_agreement(const JudgedSuite& judged, const Judgments& judgments, RunStore& store) {
  std::vector<std::vector<double>> units;
  std::set<std::string> judges;
  for (const auto& [id, all] : judgments) {
    if (id.suite != judged.suite.name) continue;
    std::vector<double> by_order[2];
    for (const Judgment& judgment : all) {
      judges.insert(judgment.judge);
      if (const auto value = value_of(*judged.suite.judge, judgment)) {
        by_order[judgment.swapped ? 1 : 0].push_back(*value);
      }
    }
    units.insert(units.end(), std::begin(by_order), std::end(by_order));
  }
  const auto alpha = krippendorff_alpha(units);
  if (judges.size() < 2 || !alpha) return {};
  spdlog::info("{}: {} judges agree with Krippendorff's alpha {:.3f}", judged.suite.name,
               judges.size(), *alpha);
  ASSAY_TRY(auto manifest, store.manifest());
  (*manifest)["judge_agreement"][judged.suite.name] = *alpha;
  return store.set_manifest(*manifest);
}

void add_style(const JudgeSpec& spec, const Item& item, const std::string& answer,
               Verdict& verdict) {
  const Style ours = style_of(answer), theirs = style_of(item.fields.at(spec.baseline));
  const auto share = [](double a, double b) { return a + b > 0 ? (a - b) / (a + b) : 0; };
  const auto density = [](double count, const Style& style) {
    return 1000 * count / std::max(1.0, style.characters);
  };
  const auto difference = [&](double a, double b) {
    const double x = density(a, ours), y = density(b, theirs);
    return (x - y) / (x + y + 1);
  };
  verdict.values["style_length"] = share(ours.characters, theirs.characters);
  verdict.values["style_headers"] = difference(ours.headers, theirs.headers);
  verdict.values["style_lists"] = difference(ours.list_items, theirs.list_items);
  verdict.values["style_bold"] = difference(ours.bold, theirs.bold);
}

Status apply_judgments(const std::vector<JudgedSuite>& judged, RunStore& store) {
  ASSAY_TRY(const Judgments judgments, stored_judgments(store));
  if (judgments.empty()) return {};
  for (const JudgedSuite& one : judged) {
    const JudgeSpec& spec = *one.suite.judge;
    for (const Answer& answer : one.answers) {
      const auto found = judgments.find(answer.id);
      if (!answer.needs_judge || found == judgments.end()) continue;
      Verdict verdict = verdict_of(spec, found->second);
      // What the scorer found in the text, such as a stated confidence, goes before the judge's.
      for (const auto& [name, value] : answer.before.values) {
        if (name == "confidence") verdict.values[name] = value;
      }
      if (spec.kind == JudgeKind::kPairwise && verdict.has_answer) {
        add_style(spec, one.items.at(answer.id.item_id), answer.text, verdict);
      }
      ASSAY_TRY_STATUS(store.update_verdict(answer.id, verdict, "judged/1"));
    }
    ASSAY_TRY_STATUS(report_agreement(one, judgments, store));
  }
  return store.commit();
}

}  // namespace

bool is_judgment(const SampleId& id) { return id.suite.find('@') != std::string::npos; }

Status judge_run(const RunOptions& options, RunStore& store) {
  ASSAY_TRY(const std::vector<JudgedSuite> judged, judged_suites(store));
  if (judged.empty()) {
    if (options.judges.empty()) return {};
    return Error{"--judge: none of the run's suites is judged"};
  }
  for (const std::string& judge : options.judges) {
    ASSAY_TRY_STATUS(ask_judge(options, judge, judged, store));
    if (stop_requested()) break;
  }
  return apply_judgments(judged, store);
}

}  // namespace assay
