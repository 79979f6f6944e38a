// Tables in plain text.
#pragma once

#include <string>
#include <vector>

namespace assay {

struct TableRow {
  std::string name;
  std::vector<std::string> cells;
};

// Columns as wide as their widest cell; the first is left-aligned, the others right-aligned. A row
// may have fewer cells than the first. Each line begins with two spaces and ends with a newline.
std::string format_table(const std::vector<TableRow>& rows);

// 0.7114 → "71.1"
std::string percent(double rate);
// "[70.4, 71.8]", in percent
std::string percent_interval(double lower, double upper);

}  // namespace assay
