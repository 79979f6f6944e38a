// Any text as a suite file, and as data in each format that suites can have.
#include <string_view>

#include "datasets/rows.h"
#include "suites/suite.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const std::string_view text(reinterpret_cast<const char*>(data), size);
  (void)assay::parse_suite(text, "math500.json");
  for (const char* format : {"jsonl", "json", "csv"}) {
    assay::DataSpec spec;
    spec.format = format;
    if (size % 2 == 0) spec.rows = "examples";
    if (size % 3 == 0) spec.inner = "questions";
    (void)assay::read_rows(spec, text, "data");
  }
  (void)assay::text_list(assay::Json(std::string(text)), "list");
  return 0;
}
