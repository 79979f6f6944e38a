#include "harness/foreign_samples.h"

#include <fmt/format.h>

#include <algorithm>
#include <functional>
#include <map>

#include "datasets/zip_file.h"
#include "harness/base/file.h"
#include "harness/base/json.h"
#include "harness/base/text.h"

namespace assay {
namespace {

std::string text_at(const Json& json, const char* key) {
  const auto found = json.is_object() ? json.find(key) : json.end();
  if (!json.is_object() || found == json.end()) return {};
  if (found->is_string()) return found->get<std::string>();
  return found->is_number_integer() ? found->dump() : std::string();
}

const Json& member(const Json& json, const char* key) {
  static const Json nothing;
  if (!json.is_object()) return nothing;
  const auto found = json.find(key);
  return found == json.end() ? nothing : *found;
}

void add_text(const std::string& text, std::vector<std::string>& to) {
  if (!trim(text).empty()) to.push_back(text);
}

void add_sample(const std::string& text, FinishReason reason, ForeignQuestion& question) {
  Completion completion;
  completion.text = to_valid_utf8(text);
  completion.finish_reason = reason;
  question.samples.push_back(std::move(completion));
}

// A list of texts, also where a text stands alone or lists are nested.
void add_samples(const Json& json, ForeignQuestion& question) {
  if (json.is_string()) return add_sample(json.get<std::string>(), FinishReason::kStop, question);
  if (!json.is_array()) return;
  for (const Json& entry : json) add_samples(entry, question);
}

// Ids and texts among a data set's own fields.
void add_fields(const Json& fields, ForeignQuestion& question) {
  if (!fields.is_object()) return;
  for (const auto& [key, value] : fields.items()) {
    const bool names =
        key == "id" || key.ends_with("_id") || key == "uid" || key == "key" || key == "idx";
    if (names) add_text(text_at(fields, key.c_str()), question.ids);
    if (value.is_string()) add_text(value.get<std::string>(), question.texts);
  }
}

// What assay itself wrote beside the other program's fields.
void add_own(const Json& own, Completion& completion) {
  if (!own.is_object()) return;
  FinishReason reason = completion.finish_reason;
  if (from_string(text_at(own, "finish_reason"), &reason)) completion.finish_reason = reason;
  const auto count = [&](const char* key, int& to) {
    const Json& value = member(own, key);
    if (!value.is_number_integer()) return;
    to = static_cast<int>(std::clamp<int64_t>(value.get<int64_t>(), 0, INT32_MAX));
  };
  count("completion_tokens", completion.counted_tokens);
  count("thought_tokens", completion.thought_tokens);
  count("prompt_tokens", completion.prompt_tokens);
  completion.opens_thought = member(own, "opens_thought") == true;
  if (member(own, "logprob").is_number()) completion.logprob = own["logprob"].get<double>();
}

bool read_lm_eval(const Json& row, ForeignQuestion& question) {
  if (!row.contains("doc") || !row.contains("resps")) return false;
  add_text(text_at(row, "doc_id"), question.ids);
  add_fields(row["doc"], question);
  const Json& arguments = member(member(row, "arguments"), "gen_args_0");
  Json prompt = member(arguments, "arg_0");
  if (prompt.is_array() && prompt.size() == 1) prompt = Json(prompt[0]);
  if (prompt.is_string()) question.prompt = prompt.get<std::string>();
  add_text(question.prompt, question.texts);
  add_samples(row["resps"], question);
  const Json& own = member(row, "assay");
  for (size_t i = 0; own.is_array() && i < std::min(own.size(), question.samples.size()); ++i) {
    add_own(own[i], question.samples[i]);
  }
  return true;
}

bool read_lighteval(const Json& row, ForeignQuestion& question) {
  const Json& response = member(row, "model_response");
  if (response.is_object() && row.contains("doc")) {
    const Json& doc = row["doc"];
    add_fields(doc, question);
    add_fields(member(doc, "specific"), question);
    add_samples(member(response, "text"), question);
    return true;
  }
  if (!row.contains("predictions") || !row.contains("full_prompt")) return false;
  add_text(text_at(row, "example"), question.texts);
  add_text(text_at(row, "full_prompt"), question.texts);
  add_fields(member(row, "specifics"), question);
  add_samples(row["predictions"], question);
  return true;
}

bool read_livecodebench(const Json& row, ForeignQuestion& question) {
  const bool outputs = member(row, "output_list").is_array();
  if (!row.contains("question_id") || (!outputs && !member(row, "code_list").is_array())) {
    return false;
  }
  add_text(text_at(row, "question_id"), question.ids);
  add_text(text_at(row, "question_content"), question.texts);
  if (outputs) {
    add_samples(row["output_list"], question);
    return true;
  }
  for (const Json& code : row["code_list"]) {
    if (!code.is_string()) continue;
    add_sample("```python\n" + code.get<std::string>() + "\n```", FinishReason::kStop, question);
  }
  return true;
}

bool read_evalplus(const Json& row, ForeignQuestion& question) {
  const std::string id = text_at(row, "task_id");
  const Json& solution = member(row, "solution");
  const Json& completion = member(row, "completion");
  if (id.empty() || (!solution.is_string() && !completion.is_string())) return false;
  question.ids.push_back(id);
  if (solution.is_string()) {
    add_sample("```python\n" + solution.get<std::string>() + "\n```", FinishReason::kStop,
               question);
  } else {
    add_sample(completion.get<std::string>(), FinishReason::kStop, question);
  }
  return true;
}

bool read_nemo(const Json& row, ForeignQuestion& question) {
  if (!member(row, "generation").is_string()) return false;
  add_fields(row, question);
  std::erase(question.texts, row["generation"].get<std::string>());
  const std::string reason = text_at(row, "finish_reason");
  add_sample(row["generation"].get<std::string>(),
             reason == "length" ? FinishReason::kLength : FinishReason::kStop, question);
  return true;
}

// A message's text: its own, or its parts', with a thought marked as such.
std::string message_text(const Json& content) {
  if (content.is_string()) return content.get<std::string>();
  std::string text;
  if (!content.is_array()) return text;
  for (const Json& part : content) {
    const std::string type = text_at(part, "type");
    if (type == "reasoning") {
      text += "<think>\n" + text_at(part, "reasoning") + "\n</think>\n\n";
    } else {
      text += text_at(part, "text");
    }
  }
  return text;
}

bool read_inspect(const Json& sample, ForeignQuestion& question) {
  const Json& output = member(sample, "output");
  if (!sample.contains("input") || !output.is_object()) return false;
  add_text(text_at(sample, "id"), question.ids);
  const Json& input = sample["input"];
  if (input.is_string()) question.prompt = input.get<std::string>();
  add_text(question.prompt, question.texts);
  for (const Json& message : input.is_array() ? input : Json::array()) {
    if (text_at(message, "role") == "user") {
      add_text(message_text(member(message, "content")), question.texts);
    }
  }
  add_fields(member(sample, "metadata"), question);
  const Json& choices = member(output, "choices");
  if (!choices.is_array() || choices.empty()) return true;  // it failed: no sample
  const std::string reason = text_at(choices[0], "stop_reason");
  add_sample(message_text(member(member(choices[0], "message"), "content")),
             reason == "max_tokens" || reason == "model_length" ? FinishReason::kLength
                                                                : FinishReason::kStop,
             question);
  add_own(member(member(sample, "metadata"), "assay"), question.samples.back());
  return true;
}

using Reader = std::function<bool(const Json&, ForeignQuestion&)>;

// The readers of rows, in the order in which they are asked.
const std::vector<std::pair<std::string, Reader>>& row_readers() {
  static const std::vector<std::pair<std::string, Reader>> kReaders = {
      {"lm-eval", read_lm_eval},
      {"lighteval", read_lighteval},
      {"livecodebench", read_livecodebench},
      {"evalplus", read_evalplus},
      {"nemo-skills", read_nemo}};
  return kReaders;
}

Error unknown(const std::string& place) {
  return Error{place +
               ": is none of lm-eval's samples, inspect's logs, lighteval's details (as JSON "
               "lines), evalplus's samples, LiveCodeBench's outputs or NeMo-Skills' output"};
}

class Collector {
 public:
  explicit Collector(ForeignSamples& to) : to_(to) {}

  Status take_row(const Json& row, const std::string& place) {
    ForeignQuestion question;
    question.place = place;
    for (const auto& [format, reader] : row_readers()) {
      if (!row.is_object() || !reader(row, question)) continue;
      if (to_.format.empty()) to_.format = format;
      if (format != to_.format) {
        return Error{
            fmt::format("{}: is of {}, what came before of {}", place, format, to_.format)};
      }
      // lm-eval repeats a question for each of its filters.
      const bool repeats = format == "lm-eval" && row.value("filter", Json("none")) != "none";
      if (repeats && to_.format == "lm-eval") {
        const std::string key = place.substr(0, place.rfind(':')) + text_at(row, "doc_id");
        if (!seen_.emplace(key, text_at(row, "filter")).second &&
            seen_[key] != text_at(row, "filter")) {
          return {};
        }
      }
      if (format == "lm-eval" && !to_.temperature) {
        take_sampling(member(member(member(row, "arguments"), "gen_args_0"), "arg_1"),
                      "max_gen_toks");
      }
      add(std::move(question));
      return {};
    }
    return unknown(place);
  }

  Status take_inspect(const Json& sample, const std::string& place) {
    ForeignQuestion question;
    question.place = place;
    if (!read_inspect(sample, question)) return Error{place + ": is no sample of inspect"};
    add(std::move(question));
    return {};
  }

  Status start_inspect(const Json& header, const std::string& path) {
    if (!to_.format.empty() && to_.format != "inspect") {
      return Error{fmt::format("{}: is of inspect, what came before of {}", path, to_.format)};
    }
    to_.format = "inspect";
    to_.model = text_at(member(header, "eval"), "model");
    take_sampling(member(member(header, "eval"), "model_generate_config"), "max_tokens");
    return {};
  }

 private:
  void take_sampling(const Json& json, const char* max_tokens) {
    const auto number = [&](const char* key, double least, double most) {
      const Json& value = member(json, key);
      const double found = value.is_number() ? value.get<double>() : -1;
      return found >= least && found <= most ? std::optional(found) : std::nullopt;
    };
    to_.temperature = number("temperature", 0, 100);
    to_.top_p = number("top_p", 1e-6, 1);
    if (const auto most = number(max_tokens, 1, INT32_MAX))
      to_.max_tokens = static_cast<int>(*most);
  }

  // The samples of one question come together, whichever rows they are in.
  void add(ForeignQuestion question) {
    const std::string key = !question.ids.empty()     ? "id " + question.ids.back()
                            : !question.texts.empty() ? "text " + question.texts.front()
                                                      : question.place;
    const auto [known, fresh] = places_.emplace(key, to_.questions.size());
    if (fresh) {
      to_.questions.push_back(std::move(question));
      return;
    }
    ForeignQuestion& first = to_.questions[known->second];
    for (Completion& sample : question.samples) first.samples.push_back(std::move(sample));
  }

  ForeignSamples& to_;
  std::map<std::string, size_t> places_;
  std::map<std::string, std::string> seen_;  // lm-eval's filter by question
};

Status read_eval_zip(const std::string& path, Collector& collector) {
  ASSAY_TRY(const ZipFile zip, ZipFile::open(path));
  ASSAY_TRY(const std::string header, zip.read("header.json"));
  ASSAY_TRY(const Json header_json, parse_json(header, path + ": header.json"));
  ASSAY_TRY_STATUS(collector.start_inspect(header_json, path));
  // "samples/ID_epoch_N.json": in the order of the epochs.
  std::vector<std::pair<int, std::string>> names;
  for (const std::string& name : zip.names()) {
    const size_t epoch = name.rfind("_epoch_");
    if (!name.starts_with("samples/") || epoch == std::string::npos) continue;
    names.emplace_back(std::atoi(name.c_str() + epoch + 7), name);
  }
  std::stable_sort(names.begin(), names.end(),
                   [](const auto& a, const auto& b) { return a.first < b.first; });
  for (const auto& [epoch, name] : names) {
    ASSAY_TRY(const std::string text, zip.read(name));
    ASSAY_TRY(const Json sample, parse_json(text, path + ": " + name));
    ASSAY_TRY_STATUS(collector.take_inspect(sample, path + ": " + name));
  }
  return {};
}

Status read_whole_json(const std::string& path, const Json& json, Collector& collector) {
  if (json.is_object() && json.contains("eval") && member(json, "samples").is_array()) {
    ASSAY_TRY_STATUS(collector.start_inspect(json, path));
    for (size_t i = 0; i < json["samples"].size(); ++i) {
      ASSAY_TRY_STATUS(
          collector.take_inspect(json["samples"][i], fmt::format("{}: sample {}", path, i + 1)));
    }
    return {};
  }
  if (!json.is_array()) return unknown(path);
  for (size_t i = 0; i < json.size(); ++i) {
    ASSAY_TRY_STATUS(collector.take_row(json[i], fmt::format("{}:{}", path, i + 1)));
  }
  return {};
}

Status read_lines(const std::string& path, const std::string& text, Collector& collector) {
  int number = 0;
  for (size_t at = 0; at < text.size();) {
    const size_t end = std::min(text.find('\n', at), text.size());
    const std::string_view line = std::string_view(text).substr(at, end - at);
    at = end + 1;
    ++number;
    if (trim(line).empty()) continue;
    const std::string place = fmt::format("{}:{}", path, number);
    ASSAY_TRY(const Json row, parse_json(line, place));
    ASSAY_TRY_STATUS(collector.take_row(row, place));
  }
  return {};
}

}  // namespace

Result<ForeignSamples> read_foreign_samples(const std::vector<std::string>& paths) {
  ForeignSamples samples;
  Collector collector(samples);
  for (const std::string& path : paths) {
    if (path.ends_with(".eval")) {
      ASSAY_TRY_STATUS(read_eval_zip(path, collector));
      continue;
    }
    ASSAY_TRY(const std::string text, read_file(path));
    if (const auto whole = parse_json(text, path);
        whole.ok() && (whole->is_array() || whole->contains("eval"))) {
      ASSAY_TRY_STATUS(read_whole_json(path, *whole, collector));
    } else {
      ASSAY_TRY_STATUS(read_lines(path, text, collector));
    }
  }
  // lm-eval's folders are named after the model.
  const size_t slash = paths.front().rfind('/');
  if (samples.format == "lm-eval" && slash != std::string::npos) {
    const size_t before = slash == 0 ? std::string::npos : paths.front().rfind('/', slash - 1);
    samples.model = paths.front().substr(before + 1, slash - before - 1);
  }
  std::erase_if(samples.questions,
                [](const ForeignQuestion& question) { return question.samples.empty(); });
  if (samples.questions.empty()) return Error{paths.front() + ": holds no samples"};
  return samples;
}

}  // namespace assay
