#include <fmt/format.h>

#include <cstdlib>
#include <memory>

#include "harness/base/file.h"
#include "harness/commands.h"
#include "suites/suite.h"

namespace assay {
namespace {

int list_suites(const std::string& data_folder) {
  const auto names = suite_names();
  if (!names.ok()) return fail(names.error());
  for (const std::string& name : *names) {
    const auto suite = find_suite(name);
    if (!suite.ok()) return fail(suite.error());
    std::string where = "in assay";
    if (!suite->data.in_tree) {
      const bool there = !data_folder.empty() && file_exists(data_folder + "/" + suite->data.file);
      where = there ? "data found" : "needs " + suite->data.file;
    }
    fmt::print("{:<12} {:<12} n={:<3} T={} top-p={} max-tokens={}  {}\n", suite->name,
               suite->scorer, suite->num_samples, suite->sampling.temperature,
               suite->sampling.top_p, suite->sampling.max_tokens, where);
    fmt::print("{:<12} {}\n", "", suite->description);
  }
  return kExitDone;
}

}  // namespace

void add_suites_command(CLI::App& app, int* exit_code) {
  auto data = std::make_shared<std::string>();
  CLI::App* command =
      app.add_subcommand("suites", "List the suites, their sampling and their data");
  command->add_option("--data", *data, "Folder of the suites' data")->envname("ASSAY_DATA");
  command->callback([data, exit_code] { *exit_code = list_suites(*data); });
}

}  // namespace assay
