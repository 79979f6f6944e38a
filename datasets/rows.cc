#include "datasets/rows.h"

#include <fmt/format.h>
#include <re2/re2.h>
#include <zlib.h>
#include <zstd.h>

#include <algorithm>
#include <memory>

#include "harness/base/text.h"

namespace assay {
namespace {

// Stands before an integer that is kept as text; no data set writes it.
constexpr std::string_view kBigInteger = "\\u0001int ";

// Integers of more than 18 digits, which would lose digits as numbers, as marked texts.
std::string with_big_integers(std::string_view text) {
  std::string out;
  bool in_string = false;
  for (size_t i = 0; i < text.size(); ++i) {
    const char c = text[i];
    if (in_string || c == '"') {
      out += c;
      if (in_string && c == '\\' && i + 1 < text.size()) {
        out += text[++i];
      } else if (c == '"') {
        in_string = !in_string;
      }
      continue;
    }
    // A whole number token, so that the digits behind a point are not taken for one.
    size_t end = i;
    while (end < text.size() &&
           std::string_view("0123456789+-.eE").find(text[end]) != std::string_view::npos) {
      ++end;
    }
    const std::string_view token = text.substr(i, end - i);
    const size_t digits = token.size() - (token.starts_with('-') ? 1 : 0);
    if (digits > 18 &&
        token.find_first_not_of("0123456789", token.size() - digits) == std::string_view::npos) {
      out += "\"" + std::string(kBigInteger) + std::string(token) + "\"";
    } else {
      end = std::max(end, i + 1);
      out += text.substr(i, end - i);
    }
    i = end - 1;
  }
  return out;
}

Result<std::vector<Row>> jsonl_rows(std::string_view text, const std::string& path) {
  std::vector<Row> rows;
  for (int line_number = 1; !text.empty(); ++line_number) {
    const size_t end = text.find('\n');
    const std::string_view line = text.substr(0, end);
    text.remove_prefix(end == std::string_view::npos ? text.size() : end + 1);
    if (trim(line).empty()) continue;
    Row row;
    row.place = fmt::format("{}:{}", path, line_number);
    row.number = line_number;
    static const re2::RE2 kLong("[0-9]{19}");
    const bool big = re2::RE2::PartialMatch(re2::StringPiece(line.data(), line.size()), kLong);
    ASSAY_TRY(row.fields,
              big ? parse_json(with_big_integers(line), row.place) : parse_json(line, row.place));
    rows.push_back(std::move(row));
  }
  return rows;
}

Result<std::vector<Row>> json_rows(const std::string& key, std::string_view text,
                                   const std::string& path) {
  ASSAY_TRY(Json document, parse_json(text, path));
  for (const std::string& part : key.empty() ? std::vector<std::string>() : split(key, '/')) {
    if (!document.is_object() || !document.contains(part)) {
      return Error{fmt::format("{}: key \"{}\" is missing", path, key)};
    }
    document = Json(std::move(document[part]));
  }
  if (!document.is_array()) {
    return Error{fmt::format("{}: {} must be a list", path, key.empty() ? "it" : key)};
  }
  std::vector<Row> rows;
  for (size_t i = 0; i < document.size(); ++i) {
    rows.push_back(
        {std::move(document[i]), fmt::format("{}: row {}", path, i + 1), static_cast<int>(i + 1)});
  }
  return rows;
}

// The records of a CSV text; a quoted field may hold commas, line ends and "" for a quote.
Result<std::vector<std::vector<std::string>>> csv_records(std::string_view text,
                                                          const std::string& path) {
  std::vector<std::vector<std::string>> records;
  std::vector<std::string> record;
  std::string field;
  bool quoted = false, begun = false;
  const auto end_field = [&] {
    record.push_back(std::exchange(field, {}));
    begun = false;
  };
  for (size_t i = 0; i < text.size(); ++i) {
    const char c = text[i];
    if (quoted) {
      if (c != '"') {
        field += c;
      } else if (i + 1 < text.size() && text[i + 1] == '"') {
        field += text[++i];
      } else {
        quoted = false;
      }
    } else if (c == '"' && !begun) {
      quoted = begun = true;
    } else if (c == ',') {
      end_field();
    } else if (c == '\n') {
      if (!field.empty() && field.back() == '\r') field.pop_back();
      if (begun || !field.empty() || !record.empty()) {
        end_field();
        records.push_back(std::exchange(record, {}));
      }
    } else {
      field += c;
      begun = true;
    }
  }
  if (quoted) return Error{path + ": a quoted field does not end"};
  if (begun || !record.empty()) {
    end_field();
    records.push_back(std::move(record));
  }
  return records;
}

Result<std::vector<Row>> csv_rows(std::string_view text, const std::string& path) {
  if (text.starts_with("\xEF\xBB\xBF")) text.remove_prefix(3);
  ASSAY_TRY(const auto records, csv_records(text, path));
  std::vector<Row> rows;
  for (size_t i = 1; i < records.size(); ++i) {
    Row row{Json::object(), fmt::format("{}: record {}", path, i), static_cast<int>(i)};
    if (records[i].size() != records[0].size()) {
      return Error{fmt::format("{}: has {} fields, the header has {}", row.place, records[i].size(),
                               records[0].size())};
    }
    for (size_t k = 0; k < records[i].size(); ++k) row.fields[records[0][k]] = records[i][k];
    rows.push_back(std::move(row));
  }
  return rows;
}

// Each member of a row's list as a row of its own, with the fields of the row that it lacks.
Result<std::vector<Row>> inner_rows(const std::string& key, std::vector<Row> rows) {
  std::vector<Row> inner;
  for (Row& row : rows) {
    if (!row.fields.is_object() || !row.fields.contains(key) || !row.fields[key].is_array()) {
      return Error{fmt::format("{}: field \"{}\" must be a list", row.place, key)};
    }
    Json members = Json(std::move(row.fields[key]));
    row.fields.erase(key);
    for (size_t i = 0; i < members.size(); ++i) {
      Row one{Json(std::move(members[i])), fmt::format("{}: {} {}", row.place, key, i + 1),
              static_cast<int>(inner.size() + 1)};
      if (!one.fields.is_object()) return Error{one.place + ": must be a JSON object"};
      for (const auto& [name, value] : row.fields.items()) {
        if (!one.fields.contains(name)) one.fields[name] = value;
      }
      inner.push_back(std::move(one));
    }
  }
  return inner;
}

}  // namespace

std::string json_text(const Json& value) {
  static const re2::RE2 kMarked(R"re("\\u0001int (-?[0-9]+)")re");
  std::string text = dump_json(value);
  if (text.find(kBigInteger) != std::string::npos) {
    re2::RE2::GlobalReplace(&text, kMarked, R"(\1)");
  }
  return text;
}

constexpr size_t kMostBytes = size_t{4} << 30;

namespace {

Result<std::string> unpack_zst(const std::string& path, std::string_view bytes) {
  const std::unique_ptr<ZSTD_DCtx, decltype(&ZSTD_freeDCtx)> context(ZSTD_createDCtx(),
                                                                     ZSTD_freeDCtx);
  if (!context) return Error{path + ": out of memory"};
  std::string text, part(size_t{1} << 20, '\0');
  ZSTD_inBuffer in{bytes.data(), bytes.size(), 0};
  size_t left = 1;  // of the frame; 0 at its end
  while (in.pos < in.size && text.size() < kMostBytes) {
    ZSTD_outBuffer out{part.data(), part.size(), 0};
    left = ZSTD_decompressStream(context.get(), &out, &in);
    if (ZSTD_isError(left)) break;
    text.append(part, 0, out.pos);
    // A full buffer may hide more of what is already taken in.
    while (out.pos == out.size && left > 0 && in.pos == in.size) {
      out.pos = 0;
      left = ZSTD_decompressStream(context.get(), &out, &in);
      if (ZSTD_isError(left)) break;
      text.append(part, 0, out.pos);
    }
  }
  if (ZSTD_isError(left) || left != 0) return Error{path + ": is no whole .zst file; get it again"};
  return text;
}

}  // namespace

Result<std::string> unpacked(const std::string& path, std::string_view bytes) {
  if (path.ends_with(".zst")) return unpack_zst(path, bytes);
  if (!path.ends_with(".gz")) return std::string(bytes);
  const gzFile file = gzopen(path.c_str(), "rb");
  if (file == nullptr) return Error{path + ": cannot be opened"};
  std::string text, part(size_t{1} << 20, '\0');
  int count = 0;
  while ((count = gzread(file, part.data(), static_cast<unsigned>(part.size()))) > 0 &&
         text.size() < kMostBytes) {
    text.append(part, 0, static_cast<size_t>(count));
  }
  gzclose(file);
  if (count != 0) return Error{path + ": is no whole .gz file; get it again"};
  return text;
}

Result<std::vector<Row>> read_rows(const DataSpec& spec, std::string_view text,
                                   const std::string& path) {
  std::vector<Row> rows;
  if (spec.format == "csv") {
    ASSAY_TRY(rows, csv_rows(text, path));
  } else if (spec.format == "json") {
    ASSAY_TRY(rows, json_rows(spec.rows, text, path));
  } else {
    ASSAY_TRY(rows, jsonl_rows(text, path));
  }
  if (!spec.inner.empty()) {
    ASSAY_TRY(rows, inner_rows(spec.inner, std::move(rows)));
  }
  for (const Row& row : rows) {
    if (!row.fields.is_object()) return Error{row.place + ": must be a JSON object"};
  }
  return rows;
}

Result<std::vector<std::string>> text_list(const Json& value, const std::string& place) {
  std::vector<std::string> texts;
  const auto wrong = [&] { return Error{place + " must be a list of texts"}; };
  if (value.is_array()) {
    for (const Json& each : value) {
      if (!each.is_string()) return wrong();
      texts.push_back(each.get<std::string>());
    }
    return texts;
  }
  if (!value.is_string()) return wrong();
  std::string_view rest = trim(value.get_ref<const std::string&>());
  if (!rest.starts_with('[') || !rest.ends_with(']')) return wrong();
  rest = trim(rest.substr(1, rest.size() - 2));
  while (!rest.empty()) {
    const char quote = rest.front();
    if (quote != '\'' && quote != '"') return wrong();
    std::string text;
    size_t i = 1;
    for (; i < rest.size() && rest[i] != quote; ++i) {
      if (rest[i] == '\\' && i + 1 < rest.size()) ++i;
      text += rest[i];
    }
    if (i == rest.size()) return wrong();
    texts.push_back(std::move(text));
    rest = trim(rest.substr(i + 1));
    if (rest.empty()) break;
    if (rest.front() != ',') return wrong();
    rest = trim(rest.substr(1));
  }
  return texts;
}

}  // namespace assay
