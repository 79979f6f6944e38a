#include "results/gate.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>

#include "harness/base/markup.h"
#include "harness/base/text.h"
#include "results/table.h"

namespace assay {
namespace {

std::string points(double difference) { return fmt::format("{:+.2f}", 100 * difference); }

std::string xml_escaped(const std::string& text) {
  std::string out = escape_markup(text);
  for (char& c : out) {  // what XML 1.0 cannot hold at all
    if (static_cast<unsigned char>(c) < 0x20 && c != '\n' && c != '\t') c = '?';
  }
  return out;
}

// "|" would begin a cell.
std::string cell(const std::string& text) {
  return replace_all(replace_all(text, "|", "\\|"), "\n", " ");
}

}  // namespace

GateVerdict GateResult::verdict() const {
  const auto has = [&](GateVerdict wanted) {
    return std::any_of(rows.begin(), rows.end(),
                       [&](const GateRow& row) { return row.verdict == wanted; });
  };
  if (has(GateVerdict::kRegression)) return GateVerdict::kRegression;
  if (rows.empty() || has(GateVerdict::kUndecided)) return GateVerdict::kUndecided;
  return GateVerdict::kPass;
}

GateRow gate_fixed(const PairedSuite& suite, const GateOptions& options) {
  GateRow row;
  row.suite = suite.suite;
  row.base = suite.base;
  row.other = suite.other;
  row.difference = suite.difference;
  row.pairs = suite.pairs;
  row.right_to_wrong = suite.right_to_wrong;
  row.wrong_to_right = suite.wrong_to_right;
  const double flip = 1 / static_cast<double>(std::max<int64_t>(1, suite.pairs));
  row.se = std::hypot(suite.sampling_se.value_or(suite.question_se), flip);
  const bool lower = suite.difference < 0 && suite.mcnemar_p / 2 < options.alpha;
  const bool within =
      suite.difference - normal_quantile(options.power) * row.se > -options.max_drop;
  if (within) {
    row.verdict = GateVerdict::kPass;
    row.why = lower ? "lower, but by less than the drop that counts" : "no drop that counts";
  } else if (lower) {
    row.verdict = GateVerdict::kRegression;
    row.why = "lower";
  } else {
    const double z = normal_quantile(1 - options.alpha) + normal_quantile(options.power);
    const double n = static_cast<double>(suite.pairs) / std::max(1, suite.questions);
    const double wanted = n * std::pow(z * row.se / options.max_drop, 2);
    row.why =
        fmt::format("too few samples: about {:.0f} a question would decide", std::ceil(wanted));
  }
  return row;
}

const char* to_string(GateVerdict verdict) {
  switch (verdict) {
    case GateVerdict::kPass:
      return "pass";
    case GateVerdict::kRegression:
      return "regression";
    case GateVerdict::kUndecided:
      break;
  }
  return "undecided";
}

std::string format_gate(const GateResult& result) {
  std::vector<TableRow> rows = {
      {"suite",
       {"base", "new", "difference", "±", "pairs", "right→wrong", "wrong→right", "verdict"}}};
  for (const GateRow& row : result.rows) {
    rows.push_back(
        {row.suite,
         {percent(row.base), percent(row.other), points(row.difference),
          fmt::format("{:.2f}", 100 * row.se), with_commas(static_cast<uint64_t>(row.pairs)),
          std::to_string(row.right_to_wrong), std::to_string(row.wrong_to_right),
          fmt::format("{} ({})", to_string(row.verdict), row.why)}});
  }
  return fmt::format("{} beside {}: {}\n\n{}\n", result.other, result.base,
                     to_string(result.verdict()), format_table(rows));
}

std::string gate_junit(const GateResult& result) {
  const auto count = [&](GateVerdict verdict) {
    return std::count_if(result.rows.begin(), result.rows.end(),
                         [&](const GateRow& row) { return row.verdict == verdict; });
  };
  std::string out = fmt::format(
      "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<testsuite name=\"assay gate\" tests=\"{}\" "
      "failures=\"{}\" errors=\"{}\">\n",
      result.rows.size(), count(GateVerdict::kRegression), count(GateVerdict::kUndecided));
  for (const GateRow& row : result.rows) {
    const std::string text =
        xml_escaped(fmt::format("{} {}, {} {}: {} points ± {:.2f} over {} pairs; {}", result.base,
                                percent(row.base), result.other, percent(row.other),
                                points(row.difference), 100 * row.se, row.pairs, row.why));
    out += fmt::format("  <testcase classname=\"assay\" name=\"{}\">\n", xml_escaped(row.suite));
    if (row.verdict == GateVerdict::kRegression) {
      out += fmt::format("    <failure message=\"{}\"/>\n", text);
    } else if (row.verdict == GateVerdict::kUndecided) {
      out += fmt::format("    <error message=\"{}\"/>\n", text);
    } else {
      out += fmt::format("    <system-out>{}</system-out>\n", text);
    }
    out += "  </testcase>\n";
  }
  return out + "</testsuite>\n";
}

std::string gate_markdown(const GateResult& result) {
  std::string out = fmt::format(
      "### assay gate: {}\n\n{} beside {}; a drop of {:g} points counts, alpha {:g}, power "
      "{:g}.\n\n"
      "| suite | base | new | difference | pairs | right→wrong | wrong→right | verdict |\n"
      "| --- | ---: | ---: | ---: | ---: | ---: | ---: | --- |\n",
      to_string(result.verdict()), cell(result.other), cell(result.base),
      100 * result.options.max_drop, result.options.alpha, result.options.power);
  for (const GateRow& row : result.rows) {
    out += fmt::format("| {} | {} | {} | {} ± {:.2f} | {} | {} | {} | **{}**: {} |\n",
                       cell(row.suite), percent(row.base), percent(row.other),
                       points(row.difference), 100 * row.se, row.pairs, row.right_to_wrong,
                       row.wrong_to_right, to_string(row.verdict), cell(row.why));
  }
  return out;
}

}  // namespace assay
