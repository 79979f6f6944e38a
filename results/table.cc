#include "results/table.h"

#include <fmt/format.h>

#include <algorithm>

namespace assay {
namespace {

// One for each code point.
size_t columns_of(const std::string& text) {
  return static_cast<size_t>(std::count_if(text.begin(), text.end(), [](char c) {
    return (static_cast<unsigned char>(c) & 0xC0) != 0x80;
  }));
}

std::string spaces(size_t width, const std::string& text) {
  return std::string(width - columns_of(text), ' ');
}

}  // namespace

std::string format_table(const std::vector<TableRow>& rows) {
  size_t name_width = 0;
  std::vector<size_t> widths(rows.front().cells.size(), 0);
  for (const TableRow& row : rows) {
    name_width = std::max(name_width, columns_of(row.name));
    for (size_t i = 0; i < std::min(widths.size(), row.cells.size()); ++i) {
      widths[i] = std::max(widths[i], columns_of(row.cells[i]));
    }
  }
  std::string out;
  for (const TableRow& row : rows) {
    out += "  " + row.name;
    if (!row.cells.empty()) out += spaces(name_width, row.name);
    for (size_t i = 0; i < std::min(widths.size(), row.cells.size()); ++i) {
      out += "  " + spaces(widths[i], row.cells[i]) + row.cells[i];
    }
    out += '\n';
  }
  return out;
}

std::string percent(double rate) { return fmt::format("{:.1f}", 100 * rate); }

std::string percent_interval(double lower, double upper) {
  return fmt::format("[{:.1f}, {:.1f}]", 100 * lower, 100 * upper);
}

}  // namespace assay
