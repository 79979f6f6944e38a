#include "datasets/dataset.h"

#include <fmt/chrono.h>
#include <fmt/format.h>

#include <algorithm>
#include <charconv>
#include <ctime>
#include <set>

#include "datasets/examples.h"
#include "datasets/livecodebench.h"
#include "datasets/manifest.h"
#include "datasets/rows.h"
#include "datasets/zip_file.h"
#include "harness/base/boxed.h"
#include "harness/base/file.h"
#include "harness/base/hash.h"
#include "harness/base/json.h"
#include "harness/base/resources.h"
#include "harness/base/text.h"

namespace assay {
namespace {

// Strings as they are; everything else as JSON prints it. "a/0/b" is a field within the row's.
Result<std::string> field_text(const Row& row, const std::string& field) {
  const Json* value = &row.fields;
  for (const std::string& part : split(field, '/')) {
    if (value->is_object() && value->contains(part)) {
      value = &(*value)[part];
      continue;
    }
    const bool number = part.size() == 1 && part[0] >= '0' && part[0] <= '9';
    if (!value->is_array() || !number || static_cast<size_t>(part[0] - '0') >= value->size()) {
      return Error{fmt::format("{}: field \"{}\" is missing", row.place, field)};
    }
    value = &(*value)[static_cast<size_t>(part[0] - '0')];
  }
  return value->is_string() ? value->get<std::string>() : json_text(*value);
}

Result<std::vector<std::string>> options_of(const DataSpec& spec, const Row& row) {
  std::vector<std::string> options;
  if (spec.options.size() == 1) {
    const std::string& field = spec.options.front();
    if (!row.fields.contains(field)) {
      return Error{fmt::format("{}: field \"{}\" is missing", row.place, field)};
    }
    ASSAY_TRY(options,
              text_list(row.fields[field], fmt::format("{}: field \"{}\"", row.place, field)));
  } else {
    for (const std::string& field : spec.options) {
      ASSAY_TRY(std::string option, field_text(row, field));
      options.emplace_back(trim(option));
    }
  }
  if (options.size() < 2 || options.size() > 26) {
    return Error{
        fmt::format("{}: has {} options; there must be 2 to 26", row.place, options.size())};
  }
  return options;
}

Result<std::string> gold_of(const DataSpec& spec, const Row& row, size_t options) {
  if (spec.gold == GoldKind::kFirst) return std::string("A");
  if (spec.gold_field.empty()) return std::string();  // a judge decides
  ASSAY_TRY(std::string gold, field_text(row, spec.gold_field));
  if (spec.gold == GoldKind::kLastBox) {
    const auto box = last_boxed(gold);
    if (!box) {
      return Error{fmt::format("{}: field \"{}\" has no \\boxed{{}}", row.place, spec.gold_field)};
    }
    gold = *box;
  } else if (spec.gold == GoldKind::kIndex) {
    const bool number =
        !gold.empty() && gold.size() <= 2 &&
        std::all_of(gold.begin(), gold.end(), [](char c) { return c >= '0' && c <= '9'; });
    if (!number || static_cast<size_t>(std::stoi(gold)) >= options) {
      return Error{fmt::format("{}: field \"{}\" must be the number of an option, from 0 to {}",
                               row.place, spec.gold_field, options - 1)};
    }
    gold = std::string(1, static_cast<char>('A' + std::stoi(gold)));
  }
  if (trim(gold).empty()) {
    return Error{fmt::format("{}: field \"{}\" is empty", row.place, spec.gold_field)};
  }
  return gold;
}

// Seconds since 1970 as 2024-08-01; everything else as it is.
std::string as_date(const std::string& text) {
  int64_t seconds = 0;
  const auto [end, code] = std::from_chars(text.data(), text.data() + text.size(), seconds);
  constexpr int64_t kYear9999 = 253'402'300'799;
  if (code != std::errc() || end != text.data() + text.size() || seconds < 1'000'000'000 ||
      seconds > kYear9999) {
    return text;
  }
  return fmt::format("{:%Y-%m-%d}", fmt::gmtime(static_cast<std::time_t>(seconds)));
}

// `id`: from a file of ids; empty: there is none.
Result<Item> read_item(const DataSpec& spec, const std::string& group, const std::string& id,
                       const Row& row) {
  Item item;
  item.suite = spec.suite;
  if (spec.id_field.empty()) {
    item.id = std::to_string(row.number);
  } else {
    ASSAY_TRY(item.id, field_text(row, spec.id_field));
  }
  if (!id.empty()) item.id = id;
  if (!group.empty()) item.id = group + "/" + item.id;
  std::vector<std::string> options;
  if (!spec.options.empty()) {
    ASSAY_TRY(options, options_of(spec, row));
  }
  ASSAY_TRY(item.gold, gold_of(spec, row, options.size()));
  for (const std::string& field : spec.fields) {
    ASSAY_TRY(item.fields[field], field_text(row, field));
  }
  if (!options.empty()) item.fields["options"] = dump_json(Json(options));
  if (spec.shuffle_options) item.fields["option_order"] = "by item and sample";
  if (spec.tests == "livecodebench") {
    ASSAY_TRY(item.fields["tests"], livecodebench_tests(row.fields, row.place));
    ASSAY_TRY(const std::string starter, field_text(row, "starter_code"));
    item.fields["format"] = livecodebench_format(starter);
  }
  if (spec.tests == "assertions") {
    ASSAY_TRY(const std::string test, field_text(row, "test"));
    item.fields["tests"] = dump_json(Json{{"functional", test}});
  }
  if (!spec.date_field.empty()) {
    ASSAY_TRY(const std::string date, field_text(row, spec.date_field));
    item.fields["date"] = as_date(date);
  }
  if (!group.empty()) item.fields["group"] = group;
  if (group.empty() && !spec.group_field.empty()) {
    ASSAY_TRY(item.fields["group"], field_text(row, spec.group_field));
  }
  return item;
}

bool can_be_fetched(const ManifestEntry& entry) {
  return !entry.fetch.urls.empty() || !entry.fetch.rows_api.empty() || !entry.zip.file.empty();
}

Result<std::string> locate(const DataSpec& spec, const std::string& file,
                           const std::string& data_folder) {
  if (spec.in_tree) return find_resource("datasets/" + file);
  if (data_folder.empty()) {
    return Error{
        fmt::format("{}: needs the file {}; name the folder that holds it with --data DIR "
                    "or ASSAY_DATA",
                    spec.suite, file)};
  }
  const std::string path = data_folder + "/" + file;
  if (file_exists(path)) return path;
  ASSAY_TRY(const ManifestEntry entry, find_manifest_entry(file));
  if (!entry.zip.file.empty() && file_exists(data_folder + "/" + entry.zip.file)) return path;
  const std::string hash =
      entry.sha256.empty() ? "" : fmt::format(", sha256 {}…", entry.sha256.substr(0, 12));
  return Error{fmt::format(
      "{}: not there; {} needs it (from {}{}). Name the folder that "
      "holds {} with --data DIR or ASSAY_DATA{}",
      path, spec.suite, entry.url, hash, file,
      can_be_fetched(entry) ? fmt::format(", or run `assay fetch {}{}`", spec.suite,
                                          spec.release.empty() ? "" : " --release " + spec.release)
                            : "")};
}

bool data_file_is_there(const std::string& file, const std::string& data_folder) {
  if (data_folder.empty()) return false;
  if (file_exists(data_folder + "/" + file)) return true;
  const auto entry = find_manifest_entry(file);
  return entry.ok() && !entry->zip.file.empty() && file_exists(data_folder + "/" + entry->zip.file);
}

std::string with_group(const std::string& file, const std::string& group) {
  return replace_all(file, "{group}", group);
}

// One file: where it is, what is in it and whether it is the one that the suite is defined on.
struct DataFile {
  std::string path, text, sha256;
  bool sample = false;
};

Result<DataFile> read_data_file(const DataSpec& spec, const std::string& file,
                                const std::string& data_folder) {
  DataFile data;
  ASSAY_TRY(data.path, locate(spec, file, data_folder));
  if (!file_exists(data.path)) {  // it is in an archive, and only ever unpacked in memory
    ASSAY_TRY(const ManifestEntry entry, find_manifest_entry(file));
    data.path = data_folder + "/" + entry.zip.file;
    ASSAY_TRY(const ZipFile zip, ZipFile::open(data.path));
    ASSAY_TRY(data.text, zip.read(entry.zip.entry, entry.zip.password));
    data.sha256 = sha256_hex(data.text);
    return data;
  }
  ASSAY_TRY(const MappedFile mapped, MappedFile::open(data.path));
  ASSAY_TRY(data.text, unpacked(data.path, mapped.bytes()));
  data.sha256 = sha256_hex(mapped.bytes());
  return data;
}

// After the rows: a broken one says more about a damaged file than its hash does.
Status check_data_file(const DataSpec& spec, const std::string& file, size_t records,
                       DataFile& data) {
  ASSAY_TRY(const ManifestEntry entry, find_manifest_entry(file));
  data.sample = !spec.in_tree && data.sha256 == entry.sample_sha256;
  if (data.sample) return {};
  // Neither a hash nor a number of records: a file that grows.
  if (entry.sha256.empty() && entry.records == 0) return {};
  if (entry.sha256.empty()) {
    if (records == static_cast<size_t>(entry.records)) return {};
    return Error{
        fmt::format("{}: is not the file that {} is defined on: it has {} records, that "
                    "one has {}; get it again from {}",
                    data.path, spec.suite, records, entry.records, entry.url)};
  }
  if (data.sha256 == entry.sha256) return {};
  // The same content, packed by another gzip, is the same file.
  if (!entry.fetch.content_sha256.empty() && sha256_hex(data.text) == entry.fetch.content_sha256) {
    data.sha256 = entry.sha256;
    return {};
  }
  return Error{fmt::format(
      "{}: is not the file that {} is defined on: its sha256 is {}…, "
      "datasets/manifest.json has {}…; get it again from {}",
      data.path, spec.suite, data.sha256.substr(0, 12), entry.sha256.substr(0, 12), entry.url)};
}

// Adds {{examples}} to the items from `first` on.
Status add_examples(const DataSpec& spec, const std::string& group, const std::string& data_folder,
                    size_t first, Dataset& dataset, std::string& hashes) {
  const std::string file = with_group(spec.examples.file, group);
  ASSAY_TRY(DataFile data, read_data_file(spec, file, data_folder));
  std::map<std::string, std::string> known;  // by what the examples depend on
  for (size_t i = first; i < dataset.items.size(); ++i) {
    Item& item = dataset.items[i];
    const std::string key = spec.examples.key.empty() ? "" : item.fields[spec.examples.of];
    if (!known.contains(key)) {
      ASSAY_TRY(known[key], examples_for(spec.examples, item, data.text, data.path));
    }
    item.fields["examples"] = known[key];
  }
  ASSAY_TRY_STATUS(check_data_file(spec, file, 0, data));
  hashes += data.sha256;
  return {};
}

// "{{a}}{{b}}" with the row's fields.
Result<std::string> put_together(const std::string& pattern, const Row& row) {
  std::string out;
  for (size_t at = 0; at < pattern.size();) {
    const size_t open = std::min(pattern.find("{{", at), pattern.size());
    out += pattern.substr(at, open - at);
    if (open == pattern.size()) break;
    const size_t close = pattern.find("}}", open);
    if (close == std::string::npos) return Error{row.place + ": {{ without }} in " + pattern};
    ASSAY_TRY(const std::string value, field_text(row, pattern.substr(open + 2, close - open - 2)));
    out += value;
    at = close + 2;
  }
  return out;
}

// The fields of the items that stand in another file.
Status add_joined(const DataSpec& spec, const JoinSpec& join, const std::string& data_folder,
                  Dataset& dataset, std::string& hashes) {
  if (join.optional && !data_file_is_there(join.file, data_folder)) {
    for (Item& item : dataset.items) item.fields[join.field] = "";
    return {};
  }
  ASSAY_TRY(DataFile data, read_data_file(spec, join.file, data_folder));
  DataSpec rows_spec;
  rows_spec.format = join.rows.empty() ? "jsonl" : "json";
  rows_spec.rows = join.rows;
  ASSAY_TRY(const std::vector<Row> rows, read_rows(rows_spec, data.text, data.path));
  const bool by_id = join.key.find("{{") != std::string::npos;
  std::map<std::string, std::string> values;
  for (const Row& row : rows) {
    ASSAY_TRY(const std::string key,
              by_id ? put_together(join.key, row) : field_text(row, join.key));
    if (auto value = field_text(row, join.value); value.ok()) values[key] = *value;
  }
  for (Item& item : dataset.items) {
    const std::string& key = by_id ? item.id : item.fields[join.key];
    const auto found = values.find(key);
    if (found == values.end() && !join.optional) {
      return Error{fmt::format("{}: has no row whose \"{}\" is {}", data.path, join.key,
                               quote_for_message(key))};
    }
    item.fields[join.field] = found == values.end() ? std::string() : found->second;
  }
  ASSAY_TRY_STATUS(check_data_file(spec, join.file, rows.size(), data));
  hashes += data.sha256;
  return {};
}

// The ids of the rows from a file of their own; none where the suite has no such file.
Result<std::vector<std::string>> read_ids(const DataSpec& spec, size_t rows,
                                          const std::string& data_folder, std::string& hashes) {
  std::vector<std::string> ids;
  if (spec.ids_file.empty()) return ids;
  ASSAY_TRY(DataFile data, read_data_file(spec, spec.ids_file, data_folder));
  const Json list = Json::parse(data.text, nullptr, false);
  const bool texts = list.is_array() && std::all_of(list.begin(), list.end(), [](const Json& id) {
                       return id.is_string() && !id.get_ref<const std::string&>().empty();
                     });
  if (!texts || list.size() != rows) {
    return Error{
        fmt::format("{}: must be a JSON list of {} ids, one for each question", data.path, rows)};
  }
  ids = list.get<std::vector<std::string>>();
  ASSAY_TRY_STATUS(check_data_file(spec, spec.ids_file, ids.size(), data));
  hashes += data.sha256;
  return ids;
}

Result<bool> is_wanted(const DataSpec& spec, const Row& row) {
  for (const auto& [field, value] : spec.where) {
    ASSAY_TRY(const std::string found, field_text(row, field));
    if (found != value) return false;
  }
  return true;
}

}  // namespace

std::vector<std::string> data_files(const DataSpec& spec) {
  std::vector<std::string> files;
  for (const std::string& group : spec.groups) files.push_back(with_group(spec.file, group));
  for (const auto& [name, text] : spec.releases) {
    files.push_back(replace_all(spec.file, "{release}", text));
    if (name == spec.release) break;
  }
  if (files.empty()) files.push_back(spec.file);
  return files;
}

Result<DataSpec> of_release(DataSpec spec, const std::string& release) {
  std::string_view wanted = release;
  if (wanted.starts_with("release_")) wanted.remove_prefix(8);
  const size_t line = wanted.find('_');
  const std::string from(wanted.substr(0, line == std::string_view::npos ? 0 : line));
  const std::string to(line == std::string_view::npos ? wanted : wanted.substr(line + 1));
  const auto find = [&](const std::string& name) {
    return std::find_if(spec.releases.begin(), spec.releases.end(),
                        [&](const auto& known) { return known.first == name; });
  };
  const bool one = line == std::string_view::npos;
  const auto first = one ? spec.releases.begin() : find(from), last = find(to);
  if (first > last || last == spec.releases.end()) {
    std::string names;
    for (const auto& known : spec.releases) names += (names.empty() ? "" : ", ") + known.first;
    return Error{fmt::format(
        "--release {}: {} has {}", quote_for_message(release), spec.suite,
        names.empty() ? "no releases"
                      : "the releases " + names + "; v4_v5 is what these two have added")};
  }
  spec.releases.assign(first, last + 1);
  spec.release = to;
  return spec;
}

bool data_is_there(const DataSpec& spec, const std::string& data_folder) {
  if (spec.in_tree) return true;
  auto files = data_files(spec);
  for (const JoinSpec& join : spec.joins) {
    if (!join.optional) files.push_back(join.file);
  }
  return std::all_of(files.begin(), files.end(), [&](const std::string& file) {
    return data_file_is_there(file, data_folder);
  });
}

Result<Dataset> load_dataset(const DataSpec& spec, const std::string& data_folder) {
  Dataset dataset;
  std::string hashes;
  std::set<std::string> ids;
  const std::vector<std::string> files = data_files(spec);
  for (size_t i = 0; i < files.size(); ++i) {
    const std::string& file = files[i];
    const std::string group = spec.groups.empty() ? "" : spec.groups[i];
    ASSAY_TRY(DataFile data, read_data_file(spec, file, data_folder));
    ASSAY_TRY(const std::vector<Row> rows, read_rows(spec, data.text, data.path));
    const size_t first = dataset.items.size();
    ASSAY_TRY(const std::vector<std::string> row_ids,
              read_ids(spec, rows.size(), data_folder, hashes));
    for (const Row& row : rows) {
      ASSAY_TRY(const bool wanted, is_wanted(spec, row));
      if (!wanted) continue;
      ASSAY_TRY(
          Item item,
          read_item(spec, group,
                    row_ids.empty() ? "" : row_ids[static_cast<size_t>(row.number) - 1], row));
      if (!ids.insert(item.id).second) {
        return Error{fmt::format("{}: id {} stands twice", row.place, quote_for_message(item.id))};
      }
      dataset.items.push_back(std::move(item));
    }
    if (rows.empty()) return Error{data.path + ": holds no questions"};
    ASSAY_TRY_STATUS(check_data_file(spec, file, rows.size(), data));
    if (dataset.path.empty()) dataset.path = data.path;
    dataset.sample = dataset.sample || data.sample || spec.partial;
    hashes += data.sha256;
    if (!spec.examples.file.empty()) {
      ASSAY_TRY_STATUS(add_examples(spec, group, data_folder, first, dataset, hashes));
    }
    if (data.sample && !spec.releases.empty()) break;  // a sample stands for all releases
  }
  for (const JoinSpec& join : spec.joins) {
    ASSAY_TRY_STATUS(add_joined(spec, join, data_folder, dataset, hashes));
  }
  dataset.sha256 = hashes.size() == 64 ? hashes : sha256_hex(hashes);
  return dataset;
}

}  // namespace assay
