// datasets/manifest.json: for every data file its licence, origin, fields and accepted SHA-256.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "harness/base/result.h"

namespace assay {

struct ManifestEntry {
  std::string file;
  std::string url, licence;
  std::string sha256;         // of the official file; empty where nobody here has seen it
  int64_t records = 0;        // rows of the official file; for files of examples 0
  std::string sample_sha256;  // of the self-written sample in datasets/samples; may be empty
  // How `assay fetch` gets it: files that are joined, or the pages of a rows interface. Neither:
  // it cannot be fetched.
  struct Fetch {
    std::vector<std::string> urls;
    std::string rows_api;
    int64_t bytes = 0;           // of all urls together; 0: not known
    std::string content_sha256;  // of what the urls give, where the file is its gzip
    std::string terms;           // that must be accepted
  } fetch;
  // Where it is inside an archive that stays packed.
  struct Zip {
    std::string file, entry, password;  // `file` has an entry of its own; empty: in none
  } zip;
};

Result<ManifestEntry> find_manifest_entry(const std::string& file);

}  // namespace assay
