#include "datasets/dataset.h"

#include <fmt/format.h>
#include <zlib.h>

#include <algorithm>
#include <set>

#include "datasets/manifest.h"
#include "harness/base/file.h"
#include "harness/base/hash.h"
#include "harness/base/json.h"
#include "harness/base/resources.h"
#include "harness/base/text.h"

namespace assay {
namespace {

// Strings as they are; numbers and booleans as JSON prints them; a list of texts as options, a line
// each: "A. …".
Result<std::string> field_text(const Json& row, const std::string& field,
                               const std::string& place) {
  const auto found = row.find(field);
  if (found == row.end()) return Error{fmt::format("{}: field \"{}\" is missing", place, field)};
  if (found->is_string()) return found->get<std::string>();
  if (found->is_number() || found->is_boolean()) return found->dump();
  const bool texts =
      found->is_array() && found->size() <= 26 &&
      std::all_of(found->begin(), found->end(), [](const Json& each) { return each.is_string(); });
  if (!texts) {
    return Error{
        fmt::format("{}: field \"{}\" must be text, a number or a list of texts", place, field)};
  }
  std::string options;
  for (size_t i = 0; i < found->size(); ++i) {
    options += fmt::format("{}{}. {}", i == 0 ? "" : "\n", static_cast<char>('A' + i),
                           (*found)[i].get<std::string>());
  }
  return options;
}

// What is in a file, unpacked if its name ends in .gz.
Result<std::string> unpacked(const std::string& path, std::string_view bytes) {
  if (!path.ends_with(".gz")) return std::string(bytes);
  constexpr size_t kMostBytes = size_t{4} << 30;
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

Result<Item> read_item(const DatasetSpec& spec, std::string_view line, const std::string& place,
                       int line_number) {
  ASSAY_TRY(const Json row, parse_json(line, place));
  if (!row.is_object()) return Error{place + ": must be a JSON object"};
  Item item;
  item.suite = spec.suite;
  if (spec.id_field.empty()) {
    item.id = std::to_string(line_number);
  } else {
    ASSAY_TRY(item.id, field_text(row, spec.id_field, place));
  }
  ASSAY_TRY(item.gold, field_text(row, spec.gold_field, place));
  if (trim(item.gold).empty()) {
    return Error{fmt::format("{}: field \"{}\" is empty", place, spec.gold_field)};
  }
  for (const std::string& field : spec.fields) {
    ASSAY_TRY(item.fields[field], field_text(row, field, place));
  }
  return item;
}

Result<std::string> locate(const DatasetSpec& spec, const std::string& data_folder) {
  if (spec.in_tree) return find_resource("datasets/" + spec.file);
  if (data_folder.empty()) {
    return Error{
        fmt::format("{}: needs the file {}; name the folder that holds it with --data DIR "
                    "or ASSAY_DATA",
                    spec.suite, spec.file)};
  }
  const std::string path = data_folder + "/" + spec.file;
  if (file_exists(path)) return path;
  ASSAY_TRY(const ManifestEntry entry, find_manifest_entry(spec.file));
  return Error{
      fmt::format("{}: not there; {} needs it (from {}, sha256 {}…). Name the folder that "
                  "holds {} with --data DIR or ASSAY_DATA",
                  path, spec.suite, entry.url, entry.sha256.substr(0, 12), spec.file)};
}

}  // namespace

Result<Dataset> load_dataset(const DatasetSpec& spec, const std::string& data_folder) {
  Dataset dataset;
  ASSAY_TRY(dataset.path, locate(spec, data_folder));
  ASSAY_TRY(const MappedFile file, MappedFile::open(dataset.path));
  ASSAY_TRY(const std::string text, unpacked(dataset.path, file.bytes()));
  std::string_view rest = text;
  std::set<std::string> ids;
  for (int line_number = 1; !rest.empty(); ++line_number) {
    const size_t end = rest.find('\n');
    const std::string_view line = rest.substr(0, end);
    rest.remove_prefix(end == std::string_view::npos ? rest.size() : end + 1);
    if (trim(line).empty()) continue;
    const std::string place = fmt::format("{}:{}", dataset.path, line_number);
    ASSAY_TRY(Item item, read_item(spec, line, place, line_number));
    if (!ids.insert(item.id).second) {
      return Error{fmt::format("{}: id {} stands twice", place, quote_for_message(item.id))};
    }
    dataset.items.push_back(std::move(item));
  }
  if (dataset.items.empty()) return Error{dataset.path + ": holds no questions"};
  // After the lines: a broken one says more about a damaged file than its hash does.
  dataset.sha256 = sha256_hex(file.bytes());
  ASSAY_TRY(const ManifestEntry entry, find_manifest_entry(spec.file));
  dataset.sample = !spec.in_tree && dataset.sha256 == entry.sample_sha256;
  if (dataset.sha256 != entry.sha256 && !dataset.sample) {
    return Error{
        fmt::format("{}: is not the file that {} is defined on: its sha256 is {}…, "
                    "datasets/manifest.json has {}…; get it again from {}",
                    dataset.path, spec.suite, dataset.sha256.substr(0, 12),
                    entry.sha256.substr(0, 12), entry.url)};
  }
  return dataset;
}

}  // namespace assay
