#include "suites/suite.h"

#include <fmt/format.h>

#include <algorithm>
#include <filesystem>
#include <numeric>

#include "harness/base/file.h"
#include "harness/base/hash.h"
#include "harness/base/json.h"
#include "harness/base/option_order.h"
#include "harness/base/resources.h"
#include "harness/base/text.h"
#include "suites/data.h"

namespace assay {
namespace {

// Every {{name}} of the prompt must be one of the data's fields.
Status check_prompt(const std::string& prompt, const DataSpec& data, const JsonReader& reader) {
  for (size_t at = prompt.find("{{"); at != std::string::npos; at = prompt.find("{{", at + 2)) {
    const size_t end = prompt.find("}}", at);
    const std::string name = prompt.substr(at + 2, end == std::string::npos ? end : end - at - 2);
    const bool known =
        std::find(data.fields.begin(), data.fields.end(), name) != data.fields.end() ||
        (name == "options" && !data.options.empty()) ||
        (name == "examples" && !data.examples.file.empty()) ||
        (name == "format" && !data.tests.empty()) ||
        (name == "group" && !(data.groups.empty() && data.group_field.empty()));
    if (!known) {
      return reader.wrong("user",
                          fmt::format("a prompt whose {{{{…}}}} are in data.fields; {} is not",
                                      quote_for_message(name)));
    }
  }
  return {};
}

Status read_prompt(const Json& json, const std::string& place, Suite& suite) {
  JsonReader reader(json, place);
  ASSAY_TRY_STATUS(reader.must_be_object());
  ASSAY_TRY(suite.user_prompt, reader.text("user"));
  if (!reader.any("system").is_null()) {
    ASSAY_TRY(suite.system_prompt, reader.text("system"));
  }
  ASSAY_TRY(suite.follow_up_prompt, reader.text_or("follow_up", ""));
  ASSAY_TRY(suite.option_format, reader.text_or("option", "{letter}. {text}"));
  ASSAY_TRY(suite.think, reader.boolean_or("think", false));
  for (const DataSpec& data : suite.data) {
    ASSAY_TRY_STATUS(check_prompt(suite.user_prompt, data, reader));
    ASSAY_TRY_STATUS(check_prompt(suite.follow_up_prompt, data, reader));
  }
  return reader.no_other_keys();
}

Status read_sampling(const Json& json, const std::string& place, Suite& suite) {
  JsonReader reader(json, place);
  ASSAY_TRY_STATUS(reader.must_be_object());
  SamplingParams& sampling = suite.sampling;
  ASSAY_TRY(sampling.temperature, reader.number("temperature"));
  ASSAY_TRY(sampling.top_p, reader.number("top_p"));
  ASSAY_TRY(const int64_t top_k, reader.integer_or("top_k", 0));
  ASSAY_TRY(sampling.min_p, reader.number_or("min_p", 0));
  ASSAY_TRY(const int64_t max_tokens, reader.integer("max_tokens"));
  ASSAY_TRY(const int64_t num_samples, reader.integer("num_samples"));
  if (reader.has("stop")) {
    ASSAY_TRY(sampling.stop, read_texts(reader.any("stop"), reader, "stop"));
  }
  if (max_tokens < 1 || max_tokens > INT32_MAX) return reader.wrong("max_tokens", "at least 1");
  if (num_samples < 1 || num_samples > 1'000'000) return reader.wrong("num_samples", "at least 1");
  sampling.top_k = static_cast<int>(std::clamp<int64_t>(top_k, 0, INT32_MAX));
  sampling.max_tokens = static_cast<int>(max_tokens);
  suite.num_samples = static_cast<int>(num_samples);
  return reader.no_other_keys();
}

Status read_metrics(const Json& json, const JsonReader& reader, Suite& suite) {
  static const std::vector<std::string> kKnown = {"pass@1", "pass@k", "cons@k", "macro",
                                                  "normalised"};
  ASSAY_TRY(suite.metrics, read_texts(json, reader, "metrics"));
  for (const std::string& metric : suite.metrics) {
    if (std::find(kKnown.begin(), kKnown.end(), metric) == kKnown.end()) {
      return reader.wrong("metrics", fmt::format("of {}; {} is not", join(kKnown, ", "),
                                                 quote_for_message(metric)));
    }
    if (metric == "normalised" && suite.chance.empty()) {
      return reader.wrong("metrics", "without normalised where there is no \"chance\"");
    }
  }
  return {};
}

Status read_chance(const Json& json, const JsonReader& reader, Suite& suite) {
  if (json.is_null()) return {};
  const Json by_group = json.is_object() ? json : Json{{"", json}};
  for (const auto& [group, value] : by_group.items()) {
    if (!value.is_number() || value.get<double>() < 0 || value.get<double>() >= 1) {
      return reader.wrong("chance", "at least 0 and below 1, or that by group");
    }
    suite.chance[group] = value.get<double>();
  }
  return {};
}

Status read_measures(const Json& json, const std::string& place, Suite& suite) {
  if (json.is_null()) return {};
  if (!json.is_array()) return Error{place + ": must be a list"};
  for (size_t i = 0; i < json.size(); ++i) {
    JsonReader reader(json[i], fmt::format("{}[{}]", place, i));
    ASSAY_TRY_STATUS(reader.must_be_object());
    Measure measure;
    ASSAY_TRY(measure.name, reader.text("name"));
    ASSAY_TRY(measure.of, reader.text("of"));
    ASSAY_TRY(measure.per, reader.text_or("per", ""));
    ASSAY_TRY(measure.unit, reader.text_or("unit", "percent"));
    ASSAY_TRY(measure.method, reader.text_or("method", "mean"));
    ASSAY_TRY(measure.population, reader.text_or("population", ""));
    static const std::vector<std::string> kMethods = {"mean", "win_rate", "style_controlled",
                                                      "calibration", "rating"};
    if (std::find(kMethods.begin(), kMethods.end(), measure.method) == kMethods.end()) {
      return reader.wrong("method", "of " + join(kMethods, ", "));
    }
    ASSAY_TRY_STATUS(reader.no_other_keys());
    suite.measures.push_back(std::move(measure));
  }
  return {};
}

Status read_components(const Json& json, const std::string& place, Suite& suite) {
  if (!json.is_array() || json.empty()) return Error{place + ": must be a list of suites"};
  double sum = 0;
  for (size_t i = 0; i < json.size(); ++i) {
    JsonReader reader(json[i], fmt::format("{}[{}]", place, i));
    ASSAY_TRY_STATUS(reader.must_be_object());
    Component component;
    ASSAY_TRY(component.suite, reader.text("suite"));
    ASSAY_TRY(component.weight, reader.number("weight"));
    if (!(component.weight > 0)) return reader.wrong("weight", "over 0");
    ASSAY_TRY_STATUS(reader.no_other_keys());
    sum += component.weight;
    suite.components.push_back(std::move(component));
  }
  for (Component& component : suite.components) component.weight /= sum;
  return {};
}

// What a suite of questions has and a composite has not.
Status read_questions(JsonReader& reader, const std::string& path, Suite& suite) {
  ASSAY_TRY(suite.data, read_data_specs(reader.any("data"), path + ": data", suite.name));
  ASSAY_TRY_STATUS(read_prompt(reader.any("prompt"), path + ": prompt", suite));
  ASSAY_TRY_STATUS(read_sampling(reader.any("sampling"), path + ": sampling", suite));
  ASSAY_TRY(suite.scorer, reader.text("scorer"));
  if (reader.has("judge")) {
    ASSAY_TRY(suite.judge, read_judge(reader.any("judge"), path + ": judge"));
  }
  ASSAY_TRY_STATUS(read_chance(reader.any("chance"), reader, suite));
  ASSAY_TRY_STATUS(read_metrics(reader.any("metrics"), reader, suite));
  return read_measures(reader.any("measures"), path + ": measures", suite);
}

// One option after the other, in the sample's order.
std::string options_text(const Suite& suite, const Item& item, int sample_index) {
  const Json options = Json::parse(item.fields.at("options"), nullptr, false);
  if (!options.is_array()) return item.fields.at("options");
  const int n = static_cast<int>(options.size());
  std::vector<int> order(options.size());
  std::iota(order.begin(), order.end(), 0);
  if (item.fields.contains("option_order")) {
    order = option_order(item.suite, item.id, sample_index, n);
  }
  std::string out;
  for (int i = 0; i < n; ++i) {
    std::string line =
        replace_all(suite.option_format, "{letter}", std::string(1, static_cast<char>('A' + i)));
    line = replace_all(std::move(line), "{number}", std::to_string(i + 1));
    const Json& option = options[static_cast<size_t>(order[static_cast<size_t>(i)])];
    out += (i == 0 ? "" : "\n") +
           replace_all(std::move(line), "{text}",
                       option.is_string() ? option.get<std::string>() : dump_json(option));
  }
  return out;
}

}  // namespace

Result<Suite> load_suite(const std::string& path) {
  ASSAY_TRY(const std::string text, read_file(path));
  return parse_suite(text, path);
}

Result<Suite> parse_suite(std::string_view text, const std::string& path) {
  ASSAY_TRY(const Json json, parse_json(text, path));
  Suite suite;
  suite.sha256 = sha256_hex(text);
  JsonReader reader(json, path);
  ASSAY_TRY_STATUS(reader.must_be_object());
  ASSAY_TRY(suite.name, reader.text("name"));
  if (suite.name != std::filesystem::path(path).stem()) {
    return reader.wrong("name", "the file's name without .json");
  }
  ASSAY_TRY(const int64_t version, reader.integer("version"));
  suite.version = static_cast<int>(version);
  ASSAY_TRY(suite.title, reader.text("title"));
  ASSAY_TRY(suite.description, reader.text("description"));
  if (reader.has("command")) {
    ASSAY_TRY(suite.command, reader.text("command"));
  } else if (reader.has("components")) {
    ASSAY_TRY_STATUS(read_components(reader.any("components"), path + ": components", suite));
  } else {
    ASSAY_TRY_STATUS(read_questions(reader, path, suite));
  }
  ASSAY_TRY_STATUS(reader.no_other_keys());
  return suite;
}

Result<std::vector<std::string>> suite_names() {
  ASSAY_TRY(const std::string folder, find_resource("suites"));
  std::vector<std::string> names;
  std::error_code code;
  for (const auto& entry : std::filesystem::directory_iterator(folder, code)) {
    if (entry.path().extension() == ".json") names.push_back(entry.path().stem().string());
  }
  if (code) return Error{folder + ": cannot be listed: " + code.message()};
  std::sort(names.begin(), names.end());
  return names;
}

Result<Suite> find_suite(const std::string& name) {
  ASSAY_TRY(const std::vector<std::string> names, suite_names());
  if (std::find(names.begin(), names.end(), name) == names.end()) {
    const std::string guess = nearest(name, names);
    return Error{fmt::format(
        "--tasks: there is no suite {}{}; `assay suites` lists: {}", quote_for_message(name),
        guess.empty() ? "" : fmt::format(" (did you mean \"{}\"?)", guess), join(names, ", "))};
  }
  ASSAY_TRY(const std::string folder, find_resource("suites"));
  return load_suite(folder + "/" + name + ".json");
}

bool is_follow_up(const Item& item) { return item.id.ends_with("#2"); }

std::string render_user_prompt(const Suite& suite, const Item& item, int sample_index) {
  std::string out;
  const std::string& prompt = is_follow_up(item) ? suite.follow_up_prompt : suite.user_prompt;
  for (size_t at = 0; at < prompt.size();) {
    const size_t begin = prompt.find("{{", at);
    out += prompt.substr(at, begin == std::string::npos ? begin : begin - at);
    if (begin == std::string::npos) break;
    const size_t end = prompt.find("}}", begin);
    const std::string field = prompt.substr(begin + 2, end - begin - 2);
    out += field == "options" ? options_text(suite, item, sample_index) : item.fields.at(field);
    at = end + 2;
  }
  return out;
}

}  // namespace assay
