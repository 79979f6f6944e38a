#include "suites/suite.h"

#include <fmt/format.h>

#include <algorithm>
#include <filesystem>
#include <set>

#include "harness/base/file.h"
#include "harness/base/hash.h"
#include "harness/base/json.h"
#include "harness/base/resources.h"
#include "harness/base/text.h"

namespace assay {
namespace {

Result<std::vector<std::string>> strings_of(const Json& json, const JsonReader& reader,
                                            const std::string& key) {
  std::vector<std::string> out;
  if (!json.is_array()) return reader.wrong(key, "a list of strings");
  for (const Json& entry : json) {
    if (!entry.is_string()) return reader.wrong(key, "a list of strings");
    out.push_back(entry.get<std::string>());
  }
  return out;
}

Status read_data(const Json& json, const std::string& place, SuiteData& data) {
  JsonReader reader(json, place);
  ASSAY_TRY_STATUS(reader.must_be_object());
  ASSAY_TRY(data.file, reader.text("file"));
  ASSAY_TRY(data.in_tree, reader.boolean_or("in_tree", false));
  ASSAY_TRY(data.format, reader.text("format"));
  ASSAY_TRY(data.id_field, reader.text_or("id", ""));
  ASSAY_TRY(data.gold_field, reader.text("gold"));
  ASSAY_TRY(data.fields, strings_of(reader.any("fields"), reader, "fields"));
  if (data.format != "jsonl") return reader.wrong("format", "\"jsonl\"");
  return reader.no_other_keys();
}

// Every {{name}} of the prompt must be one of the data's fields.
Status check_prompt(const std::string& prompt, const SuiteData& data, const JsonReader& reader) {
  for (size_t at = prompt.find("{{"); at != std::string::npos; at = prompt.find("{{", at + 2)) {
    const size_t end = prompt.find("}}", at);
    const std::string name = prompt.substr(at + 2, end == std::string::npos ? end : end - at - 2);
    if (std::find(data.fields.begin(), data.fields.end(), name) == data.fields.end()) {
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
  ASSAY_TRY(suite.think, reader.boolean_or("think", false));
  ASSAY_TRY_STATUS(check_prompt(suite.user_prompt, suite.data, reader));
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
    ASSAY_TRY(sampling.stop, strings_of(reader.any("stop"), reader, "stop"));
  }
  if (max_tokens < 1 || max_tokens > INT32_MAX) return reader.wrong("max_tokens", "at least 1");
  if (num_samples < 1 || num_samples > 1'000'000) return reader.wrong("num_samples", "at least 1");
  sampling.top_k = static_cast<int>(std::clamp<int64_t>(top_k, 0, INT32_MAX));
  sampling.max_tokens = static_cast<int>(max_tokens);
  suite.num_samples = static_cast<int>(num_samples);
  return reader.no_other_keys();
}

Status read_published(const Json& json, const std::string& place, Suite& suite) {
  if (json.is_null()) return {};
  if (!json.is_array()) return Error{place + ": must be a list"};
  for (size_t i = 0; i < json.size(); ++i) {
    JsonReader reader(json[i], fmt::format("{}[{}]", place, i));
    ASSAY_TRY_STATUS(reader.must_be_object());
    PublishedScore score;
    ASSAY_TRY(score.model, reader.text("model"));
    ASSAY_TRY(score.metric, reader.text("metric"));
    ASSAY_TRY(score.value, reader.number("value"));
    ASSAY_TRY(score.source, reader.text("source"));
    ASSAY_TRY_STATUS(reader.no_other_keys());
    suite.published.push_back(std::move(score));
  }
  return {};
}

Status read_metrics(const Json& json, const JsonReader& reader, Suite& suite) {
  static const std::set<std::string> kKnown = {"pass@1", "pass@k", "cons@k"};
  ASSAY_TRY(suite.metrics, strings_of(json, reader, "metrics"));
  for (const std::string& metric : suite.metrics) {
    if (!kKnown.contains(metric)) {
      return reader.wrong("metrics", fmt::format("of pass@1, pass@k, cons@k; {} is not",
                                                 quote_for_message(metric)));
    }
  }
  return {};
}

}  // namespace

Result<Suite> load_suite(const std::string& path) {
  ASSAY_TRY(const std::string text, read_file(path));
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
  ASSAY_TRY_STATUS(read_data(reader.any("data"), path + ": data", suite.data));
  ASSAY_TRY_STATUS(read_prompt(reader.any("prompt"), path + ": prompt", suite));
  ASSAY_TRY_STATUS(read_sampling(reader.any("sampling"), path + ": sampling", suite));
  ASSAY_TRY(suite.scorer, reader.text("scorer"));
  ASSAY_TRY_STATUS(read_metrics(reader.any("metrics"), reader, suite));
  ASSAY_TRY_STATUS(read_published(reader.any("published"), path + ": published", suite));
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

std::string render_user_prompt(const Suite& suite, const Item& item) {
  std::string out;
  const std::string& prompt = suite.user_prompt;
  for (size_t at = 0; at < prompt.size();) {
    const size_t begin = prompt.find("{{", at);
    out += prompt.substr(at, begin == std::string::npos ? begin : begin - at);
    if (begin == std::string::npos) break;
    const size_t end = prompt.find("}}", begin);
    out += item.fields.at(prompt.substr(begin + 2, end - begin - 2));
    at = end + 2;
  }
  return out;
}

}  // namespace assay
