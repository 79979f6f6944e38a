#include <fmt/format.h>

#include <memory>

#include "harness/commands.h"

namespace assay {

void add_report_command(CLI::App& app, int* exit_code) {
  auto folder = std::make_shared<std::string>();
  auto cost = std::make_shared<CostOptions>();
  CLI::App* command = app.add_subcommand("report", "Print the report of a run");
  command->add_option("run", *folder, "The run's folder")->required();
  command->add_option("--price-per-hour", cost->price_per_hour, "What an hour of the machine costs")
      ->check(CLI::NonNegativeNumber);
  command
      ->add_option("--price-per-million-tokens", cost->price_per_million_tokens,
                   "What a million generated tokens cost")
      ->check(CLI::NonNegativeNumber);
  command->add_option("--watts", cost->watts, "Power of the machine, for the energy")
      ->check(CLI::NonNegativeNumber);
  command->footer("Example:\n  assay report runs/builtin-arithmetic-1a2b3c4d");
  command->callback([folder, cost, exit_code] {
    auto store = RunStore::open(*folder, RunStore::Mode::kRead);
    *exit_code = store.ok() ? print_report(*store, false, *cost) : fail(store.error());
  });
}

}  // namespace assay
