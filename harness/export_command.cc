#include <fmt/format.h>

#include <iostream>
#include <map>
#include <memory>

#include "harness/base/json.h"
#include "harness/base/resources.h"
#include "harness/base/text.h"
#include "harness/commands.h"
#include "results/export.h"

namespace assay {
namespace {

struct ExportArguments {
  std::string folder, format = "jsonl", output_dir;
  std::vector<std::string> hub;  // SUITE=DATASET:TASK
};

Result<std::map<std::string, HubDataset>> hub_datasets(const std::vector<std::string>& given) {
  std::map<std::string, HubDataset> datasets;
  ASSAY_TRY(const std::string path, find_resource("suites/published/hub.json"));
  ASSAY_TRY(const Json json, read_json_file(path));
  for (const auto& [suite, entry] : json["datasets"].items()) {
    datasets[suite] = {entry["id"].get<std::string>(), entry["task_id"].get<std::string>()};
  }
  for (const std::string& text : given) {
    const size_t equals = text.find('='), colon = text.rfind(':');
    if (equals == std::string::npos || colon == std::string::npos || colon < equals) {
      return Error{fmt::format("--hub {}: must be SUITE=DATASET:TASK, as hle=cais/hle:hle",
                               quote_for_message(text))};
    }
    datasets[text.substr(0, equals)] = {text.substr(equals + 1, colon - equals - 1),
                                        text.substr(colon + 1)};
  }
  return datasets;
}

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
  if (arguments.format == "lm-eval" || arguments.format == "inspect") {
    if (arguments.output_dir.empty()) {
      return Error{
          fmt::format("--format {}: writes files; name a folder for them with "
                      "--output-dir",
                      arguments.format)};
    }
    ASSAY_TRY(const auto files, arguments.format == "inspect"
                                    ? export_inspect(store, report, arguments.output_dir)
                                    : export_lm_eval(store, report, arguments.output_dir));
    for (const std::string& file : files) fmt::print("{}\n", file);
    return {};
  }
  if (arguments.format == "hf") {
    ASSAY_TRY(const auto datasets, hub_datasets(arguments.hub));
    std::cout << export_hub(report, *manifest, datasets);
    std::cout.flush();
    if (std::cout) return {};
    return Error{"standard output: cannot write; is the disk full or the pipe closed?"};
  }
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
          "card's table; openmetrics: the scores, for monitoring; hf: a model repository's "
          ".eval_results; lm-eval, inspect: their files, in --output-dir")
      ->check(
          CLI::IsMember({"jsonl", "csv", "markdown", "openmetrics", "hf", "lm-eval", "inspect"}))
      ->capture_default_str();
  command->add_option("--output-dir,-o", arguments->output_dir,
                      "Folder of lm-eval's, inspect's files");
  command->add_option(
      "--hub", arguments->hub,
      "A suite's data set and task on the Hub, as hle=cais/hle:hle; may be repeated");
  command->footer(
      "Example:\n  assay export runs/builtin-arithmetic-1a2b3c4d --format jsonl > samples.jsonl");
  command->callback([arguments, exit_code] {
    const Status status = export_run(*arguments, exit_code);
    if (!status.ok()) *exit_code = fail(status.error());
  });
}

}  // namespace assay
