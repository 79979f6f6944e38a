#include <fmt/format.h>

#include "harness/base/markup.h"
#include "results/charts.h"
#include "results/page.h"
#include "results/report_html.h"
#include "results/table.h"

namespace assay {
namespace {

std::string comparison_tables(const Comparison& comparison) {
  std::string out;
  for (const std::string& suite : comparison.suites) {
    out += fmt::format("<h2>{}</h2><div class=\"scroll\"><table>", escape_markup(suite)) +
           html_row({"model", "pass@1", "difference, points", "95 %", "McNemar p", "right→wrong",
                     "wrong→right", "verdict"},
                    "th");
    bool base_shown = false;
    for (size_t i = 1; i < comparison.runs.size(); ++i) {
      for (const PairedSuite& paired : comparison.runs[i].suites) {
        if (paired.suite != suite) continue;
        if (!base_shown) {
          out += html_row({escape_markup(comparison.runs[0].name), percent(paired.base), "", "", "",
                           "", "", "base"});
        }
        base_shown = true;
        out +=
            html_row({escape_markup(comparison.runs[i].name), percent(paired.other),
                      fmt::format("{:+.1f}", 100 * paired.difference),
                      fmt::format("[{:+.1f}, {:+.1f}]", 100 * paired.interval_95.lower,
                                  100 * paired.interval_95.upper),
                      fmt::format("{:.3g}", paired.mcnemar_p),
                      std::to_string(paired.right_to_wrong), std::to_string(paired.wrong_to_right),
                      escape_markup(verdict_text(paired, comparison.options))});
      }
    }
    out += "</table></div>\n";
  }
  return out;
}

std::string divergence_section(const ComparedRun& run) {
  if (run.divergence.empty()) return {};
  std::vector<Bar> bars;
  for (const DivergenceRow& row : run.divergence) {
    bars.push_back({row.part, fmt::format("{:.5f}", row.mean), row.mean});
  }
  return fmt::format("<h2>{}: KL divergence from the base, mean in nats</h2>{}\n",
                     escape_markup(run.name), bar_chart(bars));
}

}  // namespace

Result<std::string> comparison_html(std::vector<RunStore>& stores, const Comparison& comparison,
                                    int max_samples) {
  ASSAY_TRY(const std::vector<StoredItem> stored, stores[0].items());
  std::string content = fmt::format("<h1>{} and {} more</h1><p>assay compare</p>\n",
                                    escape_markup(comparison.runs[0].name), stores.size() - 1);
  content += comparison_tables(comparison);
  for (size_t i = 1; i < comparison.runs.size(); ++i) {
    content += divergence_section(comparison.runs[i]);
    for (const std::string& warning : comparison.runs[i].warnings) {
      content += fmt::format("<p>{}: {}</p>\n", escape_markup(comparison.runs[i].name),
                             escape_markup(warning));
    }
  }
  if (max_samples > 0) {
    content +=
        "<p>Below: samples whose verdict differs, the base left, from where the texts part.</p>\n";
  }
  PageSamples samples(stored);
  ASSAY_TRY_STATUS(stores[0].for_each([&](const SampleRecord& record) -> Status {
    for (size_t i = 1; i < stores.size(); ++i) {
      if (static_cast<int>(samples.size()) >= max_samples) return {};
      const SampleId& id = record.completion.id;
      ASSAY_TRY(const auto other, stores[i].find(id));
      if (!other || other->verdict.correctness == record.verdict.correctness) continue;
      samples.add(record, &*other, comparison.runs[i].name);
    }
    return {};
  }));
  return render_page(comparison.runs[0].name + " · assay compare", content, samples);
}

}  // namespace assay
