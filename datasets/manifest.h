// datasets/manifest.json: for every data file its licence, origin, fields and accepted SHA-256.
#pragma once

#include <cstdint>
#include <string>

#include "harness/base/result.h"

namespace assay {

struct ManifestEntry {
  std::string file;
  std::string url, licence;
  std::string sha256;         // of the official file; empty where nobody here has seen it
  int64_t records = 0;        // rows of the official file; for files of examples 0
  std::string sample_sha256;  // of the self-written sample in datasets/samples; may be empty
};

Result<ManifestEntry> find_manifest_entry(const std::string& file);

}  // namespace assay
