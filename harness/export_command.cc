#include <fmt/format.h>

#include <iostream>
#include <memory>

#include "harness/commands.h"
#include "results/export.h"

namespace assay {
namespace {

struct ExportArguments {
  std::string folder, format = "jsonl";
};

Status export_run(const ExportArguments& arguments, int* exit_code) {
  ASSAY_TRY(RunStore store, RunStore::open(arguments.folder, RunStore::Mode::kRead));
  *exit_code = kExitDone;
  if (arguments.format == "jsonl") return export_jsonl(store, std::cout);
  if (arguments.format == "csv") return export_csv(store, std::cout);
  ASSAY_TRY(const Report report, make_report(store, same_answer_of));
  if (!report.missing.empty()) {
    fmt::print(stderr, "assay: {}: {}", store.folder(), format_missing(report));
    *exit_code = kExitIncomplete;
    return {};
  }
  ASSAY_TRY(const auto manifest, store.manifest());
  std::cout << (arguments.format == "markdown" ? export_markdown(report, *manifest)
                                               : export_openmetrics(report));
  std::cout.flush();
  if (std::cout) return {};
  return Error{"standard output: cannot write; is the disk full or the pipe closed?"};
}

}  // namespace

void add_export_command(CLI::App& app, int* exit_code) {
  auto arguments = std::make_shared<ExportArguments>();
  CLI::App* command =
      app.add_subcommand("export", "Write a run in another form on standard output");
  command->add_option("run", arguments->folder, "The run's folder")->required();
  command
      ->add_option(
          "--format", arguments->format,
          "jsonl: an object a sample; csv: a row a sample, without texts; markdown: a model "
          "card's table; openmetrics: the scores, for monitoring")
      ->check(CLI::IsMember({"jsonl", "csv", "markdown", "openmetrics"}))
      ->capture_default_str();
  command->footer(
      "Example:\n  assay export runs/builtin-arithmetic-1a2b3c4d --format jsonl > samples.jsonl");
  command->callback([arguments, exit_code] {
    const Status status = export_run(*arguments, exit_code);
    if (!status.ok()) *exit_code = fail(status.error());
  });
}

}  // namespace assay
