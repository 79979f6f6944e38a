#include <fmt/format.h>

#include <iostream>
#include <iterator>
#include <memory>

#include "harness/base/file.h"
#include "harness/base/json.h"
#include "harness/base/resources.h"
#include "harness/commands.h"
#include "harness/run_flags.h"
#include "scorers/code/sandbox.h"

namespace assay {
namespace {

constexpr int kExitFailed = 1;

int run_file(const RunOptions& options, const std::string& path, const ProgramLimits& limits) {
  if (const Status able = use_sandbox(options); !able.ok()) return fail(able.error());
  if (limits.cpu_s < 1 || limits.cpu_s > 86400) {
    return fail(Error{fmt::format("--cpu-s {}: must be from 1 to 86400", limits.cpu_s)});
  }
  if (!(limits.wall_s > 0 && limits.wall_s <= 86400)) {
    return fail(Error{fmt::format("--wall-s {}: must be over 0 and at most 86400", limits.wall_s)});
  }
  const auto source = read_file(path);
  if (!source.ok()) return fail(source.error());
  const auto sandbox = shared_sandbox();
  if (!sandbox.ok()) return fail(sandbox.error());
  const std::string input(std::istreambuf_iterator<char>(std::cin), {});
  const ProgramOutcome outcome = (*sandbox)->run(*source, input, limits);
  fmt::print("{}", outcome.output);
  fmt::print(stderr, "assay: {} after {:.2f} s of CPU time, {:.2f} s in all{}{}\n", outcome.status,
             outcome.cpu_s, outcome.wall_s, outcome.detail.empty() ? "" : ": ", outcome.detail);
  return outcome.status == "ok" ? kExitDone : kExitFailed;
}

// Every attack of the list: its program must not print "ESCAPED", and must end as the list says.
int check_machine(const RunOptions& options) {
  if (const Status able = use_sandbox(options); !able.ok()) return fail(able.error());
  const auto sandbox = shared_sandbox();
  if (!sandbox.ok()) return fail(sandbox.error());
  const auto path = find_resource("scorers/code/attacks.jsonl");
  if (!path.ok()) return fail(path.error());
  const auto text = read_file(*path);
  if (!text.ok()) return fail(text.error());
  fmt::print("{}\n", options.sandbox == "none"
                         ? "system-call filter, no namespaces: made"
                         : "namespaces, private root, system-call filter: made");
  fmt::print("{}\n", (*sandbox)->limits_memory_of_all()
                         ? "control groups: memory and number of all of a program's processes"
                         : "no control groups can be made here: memory is limited by process");
  int attacks = 0, contained = 0;
  std::string_view rest = *text;
  while (!rest.empty()) {
    const std::string_view line = rest.substr(0, rest.find('\n'));
    rest.remove_prefix(std::min(rest.size(), line.size() + 1));
    const Json attack = Json::parse(line, nullptr, false);
    if (!attack.is_object()) continue;
    ++attacks;
    const ProgramOutcome outcome = (*sandbox)->run(
        attack.value("source", std::string()), "",
        {.cpu_s = 1, .wall_s = 1.5, .memory_bytes = 512 << 20, .output_bytes = 1 << 20});
    const bool escaped = outcome.output.find("ESCAPED") != std::string::npos;
    const bool held = !escaped && outcome.status != "unscored";
    contained += held ? 1 : 0;
    if (!held) {
      fmt::print("NOT CONTAINED: {} ({}): {}\n", attack.value("name", std::string()),
                 outcome.status, outcome.output.substr(0, 200));
    }
  }
  fmt::print("{} of {} attacks contained\n", contained, attacks);
  return contained == attacks ? kExitDone : kExitFailed;
}

}  // namespace

void add_sandbox_command(CLI::App& app, int* exit_code) {
  struct Options {
    std::string path;
    ProgramLimits limits;
    RunOptions run;
  };
  auto options = std::make_shared<Options>();
  CLI::App* command =
      app.add_subcommand("sandbox", "Try the sandbox in which programs of models run");
  command->require_subcommand(1);
  CLI::App* check =
      command->add_subcommand("check", "What this machine offers; runs the list of attacks");
  add_sandbox_flags(*check, options->run);
  check->callback([options, exit_code] { *exit_code = check_machine(options->run); });
  CLI::App* run = command->add_subcommand("run", "Run one Python program on standard input");
  run->add_option("file", options->path, "The program")->required();
  run->add_option("--cpu-s", options->limits.cpu_s, "CPU time")->capture_default_str();
  run->add_option("--wall-s", options->limits.wall_s, "Time in all")->capture_default_str();
  add_sandbox_flags(*run, options->run);
  run->callback([options, exit_code] {
    *exit_code = run_file(options->run, options->path, options->limits);
  });
  command->footer("Example:\n  echo 21 | assay sandbox run program.py");
}

}  // namespace assay
