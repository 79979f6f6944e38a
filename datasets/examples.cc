#include "datasets/examples.h"

#include <fmt/format.h>
#include <re2/re2.h>

#include "datasets/rows.h"
#include "harness/base/text.h"

namespace assay {
namespace {

Result<std::string> written(const ExamplesSpec& spec, const Row& row) {
  std::string out = spec.text;
  for (const auto& [name, value] : row.fields.items()) {
    if (!value.is_string()) continue;
    std::string text = value.get<std::string>();
    for (const ExamplesSpec::Rewrite& rewrite : spec.rewrites) {
      if (rewrite.field != name) continue;
      const re2::RE2 pattern(rewrite.pattern, re2::RE2::Quiet);
      if (!pattern.ok()) {
        return Error{fmt::format("{}: pattern {}: {}", row.place,
                                 quote_for_message(rewrite.pattern), pattern.error())};
      }
      re2::RE2::GlobalReplace(&text, pattern, rewrite.replacement);
    }
    out = replace_all(std::move(out), "{{" + name + "}}", text);
  }
  return out;
}

}  // namespace

Result<std::string> examples_for(const ExamplesSpec& spec, const Item& item,
                                 const std::string& text, const std::string& path) {
  if (spec.key.empty()) {
    const size_t at = text.find(spec.after);
    if (at == std::string::npos) {
      return Error{fmt::format("{}: has no line {}", path, quote_for_message(spec.after))};
    }
    return text.substr(at + spec.after.size());
  }
  DataSpec rows_spec;
  rows_spec.format = "jsonl";
  ASSAY_TRY(const std::vector<Row> rows, read_rows(rows_spec, text, path));
  std::string out;
  const auto found = item.fields.find(spec.of);
  const std::string wanted =
      replace_all(found == item.fields.end() ? std::string() : found->second, " ", "_");
  for (const Row& row : rows) {
    const auto key = row.fields.find(spec.key);
    if (key == row.fields.end() || !key->is_string()) continue;
    if (replace_all(key->get<std::string>(), " ", "_") != wanted) continue;
    ASSAY_TRY(const std::string one, written(spec, row));
    out += one;
  }
  if (!out.empty()) return out;
  return Error{fmt::format("{}: has no examples whose \"{}\" is {}", path, spec.key,
                           quote_for_message(wanted))};
}

}  // namespace assay
