#include <fmt/format.h>

#include <memory>

#include "harness/commands.h"

namespace assay {

void add_report_command(CLI::App& app, int* exit_code) {
  auto folder = std::make_shared<std::string>();
  CLI::App* command = app.add_subcommand("report", "Print the report of a run");
  command->add_option("run", *folder, "The run's folder")->required();
  command->footer("Example:\n  assay report runs/builtin-arithmetic-1a2b3c4d");
  command->callback([folder, exit_code] {
    auto store = RunStore::open(*folder, RunStore::Mode::kRead);
    *exit_code = store.ok() ? print_report(*store, false) : fail(store.error());
  });
}

}  // namespace assay
