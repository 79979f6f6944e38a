#include "datasets/manifest.h"

#include <fmt/format.h>

#include "harness/base/json.h"
#include "harness/base/resources.h"

namespace assay {
namespace {

Status read_fetch(const Json& json, const std::string& place, ManifestEntry::Fetch& fetch) {
  if (json.is_null()) return {};
  JsonReader reader(json, place);
  ASSAY_TRY_STATUS(reader.must_be_object());
  const Json& urls = reader.any("urls");
  for (size_t i = 0; urls.is_array() && i < urls.size(); ++i) {
    if (!urls[i].is_string()) return reader.wrong("urls", "a list of texts");
    fetch.urls.push_back(urls[i].get<std::string>());
  }
  ASSAY_TRY(fetch.rows_api, reader.text_or("rows_api", ""));
  ASSAY_TRY(fetch.bytes, reader.integer_or("bytes", 0));
  ASSAY_TRY(fetch.content_sha256, reader.text_or("content_sha256", ""));
  ASSAY_TRY(fetch.terms, reader.text_or("terms", ""));
  return reader.no_other_keys();
}

Status read_zip(const Json& json, const std::string& place, ManifestEntry::Zip& zip) {
  if (json.is_null()) return {};
  JsonReader reader(json, place);
  ASSAY_TRY_STATUS(reader.must_be_object());
  ASSAY_TRY(zip.file, reader.text("file"));
  ASSAY_TRY(zip.entry, reader.text("entry"));
  ASSAY_TRY(zip.password, reader.text_or("password", ""));
  return reader.no_other_keys();
}

}  // namespace

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
    ASSAY_TRY_STATUS(read_fetch(reader.any("fetch"), path + ": " + file + ": fetch", entry.fetch));
    ASSAY_TRY_STATUS(read_zip(reader.any("zip"), path + ": " + file + ": zip", entry.zip));
    ASSAY_TRY(entry.records, reader.integer_or("records", 0));
    ASSAY_TRY_STATUS(reader.no_other_keys());
    return entry;
  }
  return Error{fmt::format("{}: has no entry for {}", path, file)};
}

}  // namespace assay
