#include "datasets/manifest.h"

#include <fmt/format.h>

#include "harness/base/json.h"
#include "harness/base/resources.h"

namespace assay {

Result<ManifestEntry> find_manifest_entry(const std::string& file) {
  ASSAY_TRY(const std::string path, find_resource("datasets/manifest.json"));
  ASSAY_TRY(const Json json, read_json_file(path));
  if (!json.is_object() || !json.contains("files") || !json["files"].is_array()) {
    return Error{path + ": key \"files\" must be a list"};
  }
  for (size_t i = 0; i < json["files"].size(); ++i) {
    JsonReader reader(json["files"][i], fmt::format("{}: files[{}]", path, i));
    ASSAY_TRY_STATUS(reader.must_be_object());
    ManifestEntry entry;
    ASSAY_TRY(entry.file, reader.text("file"));
    if (entry.file != file) continue;
    ASSAY_TRY(entry.url, reader.text("url"));
    ASSAY_TRY(entry.licence, reader.text("licence"));
    ASSAY_TRY(entry.sha256, reader.text_or("sha256", ""));
    ASSAY_TRY(entry.sample_sha256, reader.text_or("sample_sha256", ""));
    reader.any("fields");
    ASSAY_TRY(entry.records, reader.integer_or("records", 0));
    ASSAY_TRY_STATUS(reader.no_other_keys());
    return entry;
  }
  return Error{fmt::format("{}: has no entry for {}", path, file)};
}

}  // namespace assay
