#include "harness/commands.h"

#include <fmt/format.h>

#include <cstdio>
#include <memory>

#include "harness/base/file.h"
#include "scorers/scorer.h"

namespace assay {

int fail(const Error& error) {
  fmt::print(stderr, "assay: {}\n", error.message);
  return kExitInput;
}

Result<SameAnswer> same_answer_of(const std::string& name) {
  ASSAY_TRY(std::unique_ptr<Scorer> scorer, make_scorer(name));
  const std::shared_ptr<const Scorer> shared = std::move(scorer);
  return SameAnswer(
      [shared](std::string_view a, std::string_view b) { return shared->same_answer(a, b); });
}

int print_report(RunStore& store, bool must_write, const CostOptions& cost) {
  const auto report = make_report(store, same_answer_of);
  if (!report.ok()) return fail(report.error());
  if (!report->missing.empty()) {
    fmt::print(stderr, "assay: {}: {}", store.folder(), format_missing(*report));
    fmt::print(stderr, "assay: run the same `assay run` again to go on\n");
    return kExitIncomplete;
  }
  const auto manifest = store.manifest();
  if (!manifest.ok()) return fail(manifest.error());
  const std::string json = dump_json(report_json(*report, **manifest), 2) + "\n";
  const Status written = write_file_atomically(store.folder() + "/results.json", json);
  if (!written.ok()) {
    const int code = fail(written.error());
    if (must_write) return code;
  }
  fmt::print("{}", format_report(*report, cost));
  if (std::fflush(stdout) != 0) return fail(Error{"standard output: cannot write"});
  return kExitDone;
}

}  // namespace assay
