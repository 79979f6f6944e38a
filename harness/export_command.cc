#include <fmt/format.h>

#include <iostream>
#include <memory>

#include "harness/commands.h"
#include "results/export.h"

namespace assay {

void add_export_command(CLI::App& app, int* exit_code) {
  struct Options {
    std::string folder, format = "jsonl";
  };
  auto options = std::make_shared<Options>();
  CLI::App* command =
      app.add_subcommand("export", "Write every sample of a run on standard output");
  command->add_option("run", options->folder, "The run's folder")->required();
  command->add_option("--format", options->format, "jsonl: one JSON object a sample")
      ->check(CLI::IsMember({"jsonl"}))
      ->capture_default_str();
  command->footer(
      "Example:\n  assay export runs/builtin-arithmetic-1a2b3c4d --format jsonl > samples.jsonl");
  command->callback([options, exit_code] {
    auto store = RunStore::open(options->folder, RunStore::Mode::kRead);
    if (!store.ok()) {
      *exit_code = fail(store.error());
      return;
    }
    const Status status = export_jsonl(*store, std::cout);
    *exit_code = status.ok() ? kExitDone : fail(status.error());
  });
}

}  // namespace assay
