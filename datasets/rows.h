// The rows of a data file, whatever its format.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "harness/base/data_spec.h"
#include "harness/base/json.h"
#include "harness/base/result.h"

namespace assay {

struct Row {
  Json fields;        // an object
  std::string place;  // "path:line" for messages
  int number = 0;     // from 1: the line of a JSONL file, else the place in the list
};

// What is in a file, unpacked if its name ends in .gz or .zst; at most 4 GiB.
Result<std::string> unpacked(const std::string& path, std::string_view bytes);

// The rows of `text`, read as spec.format, spec.rows and spec.inner say. CSV is RFC 4180 with a
// header line; its fields are texts.
Result<std::vector<Row>> read_rows(const DataSpec& spec, std::string_view text,
                                   const std::string& path);

// A field's value as JSON text, with every digit of its numbers: read_rows() keeps integers that
// have more than 18 digits as texts that this function knows.
std::string json_text(const Json& value);

// A list of texts: a JSON list, or the text of a Python one ("['a', \"b\"]"), as CSV files have.
Result<std::vector<std::string>> text_list(const Json& value, const std::string& place);

}  // namespace assay
