#include "suites/data.h"

#include <fmt/format.h>

#include <map>

namespace assay {
namespace {

Result<GoldKind> gold_kind(const std::string& name, const JsonReader& reader) {
  static const std::map<std::string, GoldKind> kKinds = {{"text", GoldKind::kText},
                                                         {"last_box", GoldKind::kLastBox},
                                                         {"index", GoldKind::kIndex},
                                                         {"first", GoldKind::kFirst}};
  const auto found = kKinds.find(name);
  if (found == kKinds.end()) return reader.wrong("gold_is", "text, last_box, index or first");
  return found->second;
}

Status read_rewrites(const Json& json, const std::string& place, ExamplesSpec& examples) {
  if (json.is_null()) return {};
  if (!json.is_array()) return Error{place + ": must be a list"};
  for (size_t i = 0; i < json.size(); ++i) {
    JsonReader reader(json[i], fmt::format("{}[{}]", place, i));
    ASSAY_TRY_STATUS(reader.must_be_object());
    ExamplesSpec::Rewrite rewrite;
    ASSAY_TRY(rewrite.field, reader.text("field"));
    ASSAY_TRY(rewrite.pattern, reader.text("pattern"));
    ASSAY_TRY(rewrite.replacement, reader.text("replacement"));
    ASSAY_TRY_STATUS(reader.no_other_keys());
    examples.rewrites.push_back(std::move(rewrite));
  }
  return {};
}

Status read_examples(const Json& json, const std::string& place, ExamplesSpec& examples) {
  if (json.is_null()) return {};
  JsonReader reader(json, place);
  ASSAY_TRY_STATUS(reader.must_be_object());
  ASSAY_TRY(examples.file, reader.text("file"));
  if (reader.has("after")) {
    ASSAY_TRY(examples.after, reader.text("after"));
  } else {
    ASSAY_TRY(examples.key, reader.text("key"));
    ASSAY_TRY(examples.of, reader.text("of"));
    ASSAY_TRY(examples.text, reader.text("text"));
    ASSAY_TRY_STATUS(read_rewrites(reader.any("rewrite"), place + ".rewrite", examples));
  }
  return reader.no_other_keys();
}

Status read_joins(const Json& json, const std::string& place, DataSpec& data) {
  if (json.is_null()) return {};
  if (!json.is_array()) return Error{place + ": must be a list"};
  for (size_t i = 0; i < json.size(); ++i) {
    JsonReader reader(json[i], fmt::format("{}[{}]", place, i));
    ASSAY_TRY_STATUS(reader.must_be_object());
    JoinSpec join;
    ASSAY_TRY(join.field, reader.text("field"));
    ASSAY_TRY(join.file, reader.text("file"));
    ASSAY_TRY(join.key, reader.text("key"));
    ASSAY_TRY(join.value, reader.text("value"));
    ASSAY_TRY(join.rows, reader.text_or("rows", ""));
    ASSAY_TRY(join.optional, reader.boolean_or("optional", false));
    ASSAY_TRY_STATUS(reader.no_other_keys());
    data.joins.push_back(std::move(join));
  }
  return {};
}

Status read_where(const Json& json, const JsonReader& reader, DataSpec& data) {
  if (json.is_null()) return {};
  if (!json.is_object()) return reader.wrong("where", "an object of texts");
  for (const auto& [field, value] : json.items()) {
    if (!value.is_string()) return reader.wrong("where", "an object of texts");
    data.where.emplace_back(field, value.get<std::string>());
  }
  return {};
}

Status read_releases(const Json& json, JsonReader& reader, DataSpec& data) {
  const bool has = !json.is_null();
  if (has && (!json.is_object() || json.empty())) {
    return reader.wrong("releases", "an object of texts");
  }
  if (has == (data.file.find("{release}") == std::string::npos)) {
    return reader.wrong("file", "a name with {release} if there are releases, and only then");
  }
  if (!has) return {};
  for (const auto& [name, text] : json.items()) {
    if (!text.is_string()) return reader.wrong("releases", "an object of texts");
    data.releases.emplace_back(name, text.get<std::string>());
  }
  ASSAY_TRY(data.release, reader.text("release"));
  if (!json.contains(data.release)) return reader.wrong("release", "one of the releases");
  return {};
}

Status read_data(const Json& json, const std::string& place, DataSpec& data) {
  JsonReader reader(json, place);
  ASSAY_TRY_STATUS(reader.must_be_object());
  ASSAY_TRY(data.file, reader.text("file"));
  ASSAY_TRY(data.in_tree, reader.boolean_or("in_tree", false));
  ASSAY_TRY(data.partial, reader.boolean_or("partial", false));
  if (reader.has("groups")) {
    ASSAY_TRY(data.groups, read_texts(reader.any("groups"), reader, "groups"));
  }
  if (data.groups.empty() == (data.file.find("{group}") != std::string::npos)) {
    return reader.wrong("file", "a name with {group} if there are groups, and only then");
  }
  ASSAY_TRY_STATUS(read_releases(reader.any("releases"), reader, data));
  ASSAY_TRY(data.format, reader.text("format"));
  if (data.format != "jsonl" && data.format != "json" && data.format != "csv") {
    return reader.wrong("format", "jsonl, json or csv");
  }
  ASSAY_TRY(data.rows, reader.text_or("rows", ""));
  ASSAY_TRY(data.inner, reader.text_or("inner", ""));
  ASSAY_TRY(data.id_field, reader.text_or("id", ""));
  ASSAY_TRY(data.ids_file, reader.text_or("ids", ""));
  ASSAY_TRY(data.group_field, reader.text_or("group", ""));
  ASSAY_TRY(const std::string kind, reader.text_or("gold_is", "text"));
  ASSAY_TRY(data.gold, gold_kind(kind, reader));
  if (data.gold != GoldKind::kFirst) {
    ASSAY_TRY(data.gold_field, reader.text_or("gold", ""));
  }
  if (reader.has("options")) {
    ASSAY_TRY(data.options, read_texts(reader.any("options"), reader, "options"));
  }
  if (data.options.empty() && (data.gold == GoldKind::kFirst || data.gold == GoldKind::kIndex)) {
    return reader.wrong("gold_is", "text or last_box where there are no options");
  }
  ASSAY_TRY(data.shuffle_options, reader.boolean_or("shuffle_options", false));
  ASSAY_TRY(data.fields, read_texts(reader.any("fields"), reader, "fields"));
  ASSAY_TRY_STATUS(read_examples(reader.any("examples"), place + ".examples", data.examples));
  ASSAY_TRY_STATUS(read_joins(reader.any("joins"), place + ".joins", data));
  ASSAY_TRY_STATUS(read_where(reader.any("where"), reader, data));
  ASSAY_TRY(data.date_field, reader.text_or("date", ""));
  ASSAY_TRY(data.tests, reader.text_or("tests", ""));
  if (!data.tests.empty() && data.tests != "livecodebench" && data.tests != "assertions") {
    return reader.wrong("tests", "livecodebench or assertions");
  }
  return reader.no_other_keys();
}

}  // namespace

Result<std::vector<std::string>> read_texts(const Json& json, const JsonReader& reader,
                                            const std::string& key) {
  std::vector<std::string> out;
  if (!json.is_array()) return reader.wrong(key, "a list of strings");
  for (const Json& entry : json) {
    if (!entry.is_string()) return reader.wrong(key, "a list of strings");
    out.push_back(entry.get<std::string>());
  }
  return out;
}

Result<std::vector<DataSpec>> read_data_specs(const Json& json, const std::string& place,
                                              const std::string& suite) {
  const bool alternatives = json.is_array() && !json.empty();
  std::vector<DataSpec> specs(alternatives ? json.size() : 1);
  for (size_t i = 0; i < specs.size(); ++i) {
    specs[i].suite = suite;
    ASSAY_TRY_STATUS(read_data(alternatives ? json[i] : json,
                               alternatives ? fmt::format("{}[{}]", place, i) : place, specs[i]));
  }
  return specs;
}

}  // namespace assay
