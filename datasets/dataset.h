// Items of a suite from its data files, in the official layout.
#pragma once

#include <string>
#include <vector>

#include "harness/base/data_spec.h"
#include "harness/base/nouns.h"
#include "harness/base/result.h"

namespace assay {

struct Dataset {
  std::vector<Item> items;  // in the order of groups and files
  std::string path;         // of the first file
  std::string sha256;       // of the file as stored; of several: of their hashes, joined
  bool sample = false;  // assay's small self-written sample, or only a part of the official data
};

// The files of a suite's questions, relative to the data folder.
std::vector<std::string> data_files(const DataSpec& spec);

// The same data up to another release, "v4" or "release_v4", or what only some releases have added,
// "v4_v5"; an unknown one is an error that lists what there is.
Result<DataSpec> of_release(DataSpec spec, const std::string& release);

// Whether all files of the spec are in the folder (or in the tree).
bool data_is_there(const DataSpec& spec, const std::string& data_folder);

// `data_folder` is what --data or ASSAY_DATA name; may be empty when the file is in the tree. A
// missing file says how to get it; a file whose SHA-256 is not in datasets/manifest.json (or, where
// that one is not known, whose number of records is another), a broken row, a missing field or an
// id that stands twice is an error with file and row. Each item's group is its field "group".
Result<Dataset> load_dataset(const DataSpec& spec, const std::string& data_folder);

}  // namespace assay
