// The commands, one file each. Every one registers itself with its options and examples; its
// callback sets the process's exit code: 0 done, 1 a failed check, 2 usage or input, 3 incomplete.
#pragma once

#include <CLI/App.hpp>
#include <optional>
#include <string>

#include "harness/base/result.h"
#include "harness/options.h"
#include "results/report.h"

namespace assay {

constexpr int kExitDone = 0, kExitFailed = 1, kExitInput = 2, kExitIncomplete = 3;

void add_run_command(CLI::App& app, int* exit_code);
void add_report_command(CLI::App& app, int* exit_code);
void add_score_command(CLI::App& app, int* exit_code);
void add_suites_command(CLI::App& app, int* exit_code);
void add_export_command(CLI::App& app, int* exit_code);
void add_equal_command(CLI::App& app, int* exit_code);
void add_rate_command(CLI::App& app, int* exit_code);
void add_sandbox_command(CLI::App& app, int* exit_code);
void add_quantize_command(CLI::App& app, int* exit_code);
void add_compare_command(CLI::App& app, int* exit_code);
void add_gate_command(CLI::App& app, int* exit_code);
void add_reproduce_command(CLI::App& app, int* exit_code);
void add_fit_command(CLI::App& app, int* exit_code);
void add_merge_command(CLI::App& app, int* exit_code);
void add_fetch_command(CLI::App& app, int* exit_code);
void add_import_command(CLI::App& app, int* exit_code);
void add_serve_command(CLI::App& app, int* exit_code);
void add_history_command(CLI::App& app, int* exit_code);

// `assay run`: samples, scores, stores, reports.
int run_job(const RunOptions& options);
// The same without the report: the folder of the finished run; nothing if it was asked to stop.
Result<std::optional<std::string>> complete_run(const RunOptions& options);

// Prints "assay: <error>" on standard error.
int fail(const Error& error);

// Prints the run's report and writes its results.json; without scores, the list of what is missing.
// `must_write`: whether a folder that cannot take results.json is an error or only said.
int print_report(RunStore& store, bool must_write, const CostOptions& cost = {});

// same_answer of a scorer by name.
Result<SameAnswer> same_answer_of(const std::string& scorer);

}  // namespace assay
