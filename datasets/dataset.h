// Items of a suite from its data file, in the official layout.
#pragma once

#include <string>
#include <vector>

#include "harness/base/nouns.h"
#include "harness/base/result.h"

namespace assay {

// What to read; a suite's "data" and where --data points.
struct DatasetSpec {
  std::string suite;
  std::string file;      // relative, e.g. "math500/test.jsonl"; .gz is unpacked
  bool in_tree = false;  // under assay's own datasets/
  std::string id_field;  // empty: the line number
  std::string gold_field;
  std::vector<std::string> fields;
};

struct Dataset {
  std::vector<Item> items;  // in the file's order
  std::string path;
  std::string sha256;   // of the file as stored
  bool sample = false;  // assay's small self-written sample, not the official data
};

// `data_folder` is what --data or ASSAY_DATA name; may be empty when the file is in the tree. A
// missing file says how to get it; a file whose SHA-256 is not in datasets/manifest.json, a broken
// line, a missing field or an id that stands twice is an error with file and line.
Result<Dataset> load_dataset(const DatasetSpec& spec, const std::string& data_folder);

}  // namespace assay
