#include <fmt/format.h>
#include <spdlog/sinks/stdout_sinks.h>
#include <spdlog/spdlog.h>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <csignal>
#include <new>
#include <string>
#include <vector>

#include "harness/base/build_info.h"
#include "harness/commands.h"
#include "harness/config_file.h"

int main(int argc, char** argv) {
  spdlog::set_default_logger(spdlog::stderr_logger_mt("assay"));
  spdlog::set_pattern("assay: %v");
  // A closed pipe or a file-size limit is an error of the write, not the end of a run.
  std::signal(SIGPIPE, SIG_IGN);
  std::signal(SIGXFSZ, SIG_IGN);
  CLI::App app{"assay: scores of language models that you can trust", "assay"};
  const assay::BuildInfo build = assay::build_info();
  app.set_version_flag("--version", fmt::format("assay {} ({}, {}, {})", build.version,
                                                build.commit, build.compiler, build.build_type));
  app.require_subcommand(1);
  app.footer(
      "Examples:\n"
      "  assay run --model builtin --tasks arithmetic\n"
      "  assay report runs/…\n"
      "Exit code: 0 done, 1 a failed check, 2 usage or input error, 3 the run is incomplete.");
  int exit_code = assay::kExitDone;
  assay::add_run_command(app, &exit_code);
  assay::add_report_command(app, &exit_code);
  assay::add_score_command(app, &exit_code);
  assay::add_suites_command(app, &exit_code);
  assay::add_export_command(app, &exit_code);
  assay::add_equal_command(app, &exit_code);
  assay::add_rate_command(app, &exit_code);
  assay::add_sandbox_command(app, &exit_code);
  assay::add_quantize_command(app, &exit_code);
  assay::add_compare_command(app, &exit_code);
  assay::add_gate_command(app, &exit_code);
  assay::add_reproduce_command(app, &exit_code);
  assay::add_fit_command(app, &exit_code);
  assay::add_merge_command(app, &exit_code);
  assay::add_fetch_command(app, &exit_code);
  assay::add_import_command(app, &exit_code);
  assay::add_serve_command(app, &exit_code);
  assay::add_history_command(app, &exit_code);

  std::vector<std::string> arguments(argv + 1, argv + argc);
  if (!arguments.empty() && arguments[0] == "run") {
    auto merged = assay::with_config_file(*app.get_subcommand("run"),
                                          {arguments.begin() + 1, arguments.end()});
    if (!merged.ok()) return assay::fail(merged.error());
    arguments.resize(1);
    arguments.insert(arguments.end(), merged->begin(), merged->end());
  }
  std::reverse(arguments.begin(), arguments.end());  // as CLI11 wants them
  try {
    app.parse(arguments);
  } catch (const CLI::ParseError& error) {
    return app.exit(error) == 0 ? assay::kExitDone : assay::kExitInput;
  } catch (const std::bad_alloc&) {
    return assay::fail(
        {"out of memory; lower --batch-size or --kv-cache-gib, or use a smaller model"});
  }
  return exit_code;
}
