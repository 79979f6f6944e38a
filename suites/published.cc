#include "suites/published.h"

#include <fmt/format.h>

#include <algorithm>
#include <functional>

#include "harness/base/file.h"
#include "harness/base/json.h"
#include "harness/base/resources.h"

namespace assay {
namespace {

Status for_each_of(const Json& list, const std::string& place,
                   const std::function<Status(JsonReader&)>& read) {
  if (!list.is_array()) return Error{place + ": must be a list"};
  for (size_t i = 0; i < list.size(); ++i) {
    JsonReader reader(list[i], fmt::format("{}[{}]", place, i));
    ASSAY_TRY_STATUS(reader.must_be_object());
    ASSAY_TRY_STATUS(read(reader));
    ASSAY_TRY_STATUS(reader.no_other_keys());
  }
  return {};
}

Status read_source(JsonReader& reader, const std::string& place, Published& out) {
  PublishedScore common;
  ASSAY_TRY(common.source, reader.text("source"));
  ASSAY_TRY(common.date, reader.text_or("date", ""));
  ASSAY_TRY(common.prompt, reader.text_or("prompt", ""));
  ASSAY_TRY(const double n, reader.number_or("n", 0));
  common.n = static_cast<int>(n);
  return for_each_of(reader.any("scores"), place + ".scores", [&](JsonReader& row) -> Status {
    PublishedScore score = common;
    ASSAY_TRY(score.suite, row.text("suite"));
    ASSAY_TRY(score.model, row.text("model"));
    ASSAY_TRY(score.metric, row.text("metric"));
    ASSAY_TRY(score.value, row.number("value"));
    ASSAY_TRY(score.quantization, row.text_or("quantization", ""));
    ASSAY_TRY(score.from, row.text_or("from", ""));
    ASSAY_TRY(score.to, row.text_or("to", ""));
    ASSAY_TRY(score.note, row.text_or("note", ""));
    out.scores.push_back(std::move(score));
    return {};
  });
}

std::string lower(const std::string& text) {
  std::string out = text;
  for (char& c : out) c = static_cast<char>(c >= 'A' && c <= 'Z' ? c + 32 : c);
  return out;
}

}  // namespace

Result<Published> parse_published(std::string_view text, const std::string& path) {
  ASSAY_TRY(const Json json, parse_json(text, path));
  JsonReader reader(json, path);
  ASSAY_TRY_STATUS(reader.must_be_object());
  Published out;
  const std::string sources = path + ": sources";
  ASSAY_TRY_STATUS(for_each_of(reader.any("sources"), sources,
                               [&](JsonReader& row) { return read_source(row, sources, out); }));
  ASSAY_TRY_STATUS(for_each_of(reader.any("quantizations"), path + ": quantizations",
                               [&](JsonReader& row) -> Status {
                                 PublishedQuantization entry;
                                 ASSAY_TRY(entry.model, row.text("model"));
                                 ASSAY_TRY(entry.quantization, row.text("quantization"));
                                 ASSAY_TRY(entry.bits_per_weight, row.number("bits_per_weight"));
                                 ASSAY_TRY(entry.memory_gb, row.number("memory_gb"));
                                 ASSAY_TRY(entry.claimed_quality, row.number("claimed_quality"));
                                 ASSAY_TRY(entry.source, row.text("source"));
                                 out.quantizations.push_back(std::move(entry));
                                 return {};
                               }));
  ASSAY_TRY_STATUS(
      for_each_of(reader.any("templates"), path + ": templates", [&](JsonReader& row) -> Status {
        PublishedTemplate entry;
        ASSAY_TRY(entry.model, row.text("model"));
        ASSAY_TRY(entry.sha256, row.text("sha256"));
        out.templates.push_back(std::move(entry));
        return {};
      }));
  ASSAY_TRY_STATUS(reader.no_other_keys());
  return out;
}

Result<Published> load_published() {
  ASSAY_TRY(const std::string path, find_resource("suites/published/published.json"));
  ASSAY_TRY(const std::string text, read_file(path));
  return parse_published(text, path);
}

bool names_model(const std::string& name, const std::string& published) {
  return lower(name).find(lower(published)) != std::string::npos;
}

}  // namespace assay
