#include <fmt/format.h>
#include <spdlog/spdlog.h>

#include <memory>

#include "harness/base/file.h"
#include "harness/base/text.h"
#include "harness/commands.h"
#include "results/report_html.h"

namespace assay {
namespace {

struct ReportArguments {
  std::string folder, html;
  int samples = 500;
  CostOptions cost;
};

Status write_html(RunStore& store, const ReportArguments& arguments) {
  ASSAY_TRY(const Report report, make_report(store, same_answer_of));
  ASSAY_TRY(const std::string page, report_html(store, report, arguments.samples));
  ASSAY_TRY_STATUS(write_file_atomically(arguments.html, page));
  spdlog::info("{}: {} bytes", arguments.html, with_commas(page.size()));
  return {};
}

int run_report(const ReportArguments& arguments) {
  auto store = RunStore::open(arguments.folder, RunStore::Mode::kRead);
  if (!store.ok()) return fail(store.error());
  const int code = print_report(*store, false, arguments.cost);
  if (code != kExitDone || arguments.html.empty()) return code;
  const Status written = write_html(*store, arguments);
  return written.ok() ? kExitDone : fail(written.error());
}

}  // namespace

void add_report_command(CLI::App& app, int* exit_code) {
  auto arguments = std::make_shared<ReportArguments>();
  ReportArguments& a = *arguments;
  CLI::App* command = app.add_subcommand("report", "Print the report of a run");
  command->add_option("run", a.folder, "The run's folder")->required();
  command->add_option("--html", a.html, "Also write it as one HTML file, with charts and samples");
  command->add_option("--samples", a.samples, "Most samples whose texts the HTML file holds")
      ->capture_default_str()
      ->check(CLI::NonNegativeNumber);
  command
      ->add_option("--price-per-hour", a.cost.price_per_hour, "What an hour of the machine costs")
      ->check(CLI::NonNegativeNumber);
  command
      ->add_option("--price-per-million-tokens", a.cost.price_per_million_tokens,
                   "What a million generated tokens cost")
      ->check(CLI::NonNegativeNumber);
  command->add_option("--watts", a.cost.watts, "Power of the machine, for the energy")
      ->check(CLI::NonNegativeNumber);
  command->footer(
      "Examples:\n"
      "  assay report runs/builtin-arithmetic-1a2b3c4d\n"
      "  assay report runs/builtin-arithmetic-1a2b3c4d --html report.html --samples 2000");
  command->callback([arguments, exit_code] { *exit_code = run_report(*arguments); });
}

}  // namespace assay
