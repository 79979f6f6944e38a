// Runs programs that a model wrote, and that are hostile until proven otherwise, in jails.
//
// A jail (jail.cc) is made once and holds a warm Python interpreter (zygote.py) that forks one
// program after the other: namespaces of its own, a root of its own with the system's programs and
// libraries read-only, no network, no capabilities, an allow-list of system calls, limits of CPU
// time, memory, output, processes and files. README.md says what is and is not promised.
#pragma once

#include <condition_variable>
#include <cstdint>
#include <map>
#include <memory>
#include <mutex>
#include <shared_mutex>
#include <string>
#include <vector>

#include "harness/base/json.h"
#include "harness/base/result.h"

namespace assay {

struct ProgramLimits {
  int cpu_s = 3;
  double wall_s = 8;  // a backstop: a run that hits it is repeated alone, with more if it computes
  int64_t memory_bytes = int64_t{1} << 30;  // address space
  int64_t output_bytes = 10 << 20;
};

// What became of a program.
struct ProgramOutcome {
  // "ok", "wrong" (a test), "exception", "ended" (before its tests did), "cpu", "wall", "memory",
  // "output", "forbidden" (a call), "crash" (a signal), "unscored" (the
  // jail died twice).
  std::string status;
  std::string detail;
  std::string output;                // standard output of a plain program, valid UTF-8
  std::vector<std::string> outputs;  // of a reference run: the encoded values, JSON each
  double cpu_s = 0, wall_s = 0;
};

// kBare: without namespaces, for machines that forbid them; see bare.h for what is left. A hostile
// program may get out of that.
enum class Confinement { kJail, kBare };

// Thread-safe. At most one program runs in a jail; run() waits for a free one.
class Sandbox {
 public:
  // `jails`: how many at most; 0: one for each core. Starts the first jail, so that a machine that
  // forbids namespaces says so here.
  static Result<std::unique_ptr<Sandbox>> start(int jails = 0,
                                                Confinement confinement = Confinement::kJail);
  ~Sandbox();

  // Whether a control group limits the memory of all of a program's processes together.
  bool limits_memory_of_all() const { return limits_memory_of_all_; }

  // A program that reads `input` on standard input and writes standard output.
  ProgramOutcome run(const std::string& source, const std::string& input,
                     const ProgramLimits& limits);

  // Compiles C++20 (g++ -O2), once for each source; the outcome's output is the binary, in base64.
  ProgramOutcome compile(const std::string& source);
  // Such a binary in place of a Python program.
  ProgramOutcome run_binary(const std::string& binary, const std::string& input,
                            const ProgramLimits& limits);

  // A program that defines `entry` (or Solution().entry), and a part that only the checker's
  // process sees, as JSON. mode "assertions": {"prompt", "test": defines check(candidate),
  // "call"?}; "calls": {"inputs": lists of lists of arguments, "expected": encoded values,
  // "tolerance"}; "reference": the same without "expected", which then are the outcome's outputs.
  ProgramOutcome check(const std::string& mode, const std::string& source, const std::string& entry,
                       const std::string& part, const ProgramLimits& limits);

 private:
  class Jail;
  Sandbox() = default;
  ProgramOutcome run_request(Json request, const std::string& part, const ProgramLimits& limits);
  // One attempt; an error if the jail died.
  Result<ProgramOutcome> attempt(const Json& request, const std::string& part, double wall_s,
                                 bool foresee);
  Result<std::unique_ptr<Jail>> take();
  void give_back(std::unique_ptr<Jail> jail);

  bool limits_memory_of_all_ = false;
  Confinement confinement_ = Confinement::kJail;
  int most_ = 1, there_ = 0;
  std::mutex mutex_;
  std::condition_variable free_;
  std::vector<std::unique_ptr<Jail>> idle_;
  std::map<std::string, ProgramOutcome> compiled_;  // by source
  std::shared_mutex alone_;  // held shared by ordinary runs, exclusively by repeated ones
};

// How the sandbox of this process is confined; before it is first asked for.
void confine_shared_sandbox(Confinement confinement);
bool shared_sandbox_is_bare();

// The sandbox of this process, started when it is first asked for; the error if it cannot be.
Result<Sandbox*> shared_sandbox();

}  // namespace assay
