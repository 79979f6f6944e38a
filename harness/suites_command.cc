#include <fmt/format.h>

#include <cstdlib>
#include <memory>

#include "datasets/dataset.h"
#include "datasets/manifest.h"
#include "harness/base/text.h"
#include "harness/commands.h"
#include "scorers/scorer.h"
#include "suites/published.h"
#include "suites/suite.h"

namespace assay {
namespace {

std::string where(const Suite& suite, const std::string& data_folder) {
  if (!suite.components.empty()) return "a composite";
  if (!suite.command.empty()) return suite.command;
  for (const DataSpec& data : suite.data) {
    if (data.in_tree) return "in assay";
    if (data_is_there(data, data_folder)) return "data found";
  }
  return "needs " + data_files(suite.data.front()).front();
}

int list_suites(const std::string& data_folder) {
  const auto names = suite_names();
  if (!names.ok()) return fail(names.error());
  for (const std::string& name : *names) {
    const auto suite = find_suite(name);
    if (!suite.ok()) return fail(suite.error());
    if (!suite->data.empty()) {
      fmt::print("{:<18} {:<13} n={:<3} T={} top-p={} max-tokens={}  {}\n", suite->name,
                 suite->scorer, suite->num_samples, suite->sampling.temperature,
                 suite->sampling.top_p, suite->sampling.max_tokens, where(*suite, data_folder));
    } else {
      fmt::print("{:<18} {}\n", suite->name, where(*suite, data_folder));
    }
    fmt::print("{:<18} {}\n", "", suite->description);
  }
  fmt::print("\nassay suites NAME shows one suite's prompt, data, licence and published scores.\n");
  return kExitDone;
}

void show_data(const DataSpec& data, const std::string& data_folder) {
  const std::vector<std::string> files = data_files(data);
  const std::string& first = files.front();
  fmt::print("data      {} ({}), {}\n", data.file, data.format,
             data.in_tree                       ? "in assay"
             : data_is_there(data, data_folder) ? "found"
                                                : "not found");
  if (!data.groups.empty()) fmt::print("groups    {}\n", join(data.groups, ", "));
  if (!data.releases.empty()) {
    std::vector<std::string> names;
    for (const auto& [name, text] : data.releases) names.push_back(name);
    fmt::print("release   {} of {}; --release takes another\n", data.release, join(names, ", "));
  }
  if (const auto entry = find_manifest_entry(first); entry.ok()) {
    fmt::print("from      {}\nlicence   {}\n", entry->url, entry->licence);
    if (entry->records > 0) {
      fmt::print("rows      {}{}\n", entry->records, files.size() == 1 ? "" : " in " + first);
    }
  }
  if (data.shuffle_options) fmt::print("options   in an order by a hash of question and sample\n");
}

void show_published(const Suite& suite) {
  const auto published = load_published();
  if (!published.ok()) return;
  for (const PublishedScore& score : published->scores) {
    if (score.suite != suite.name) continue;
    const std::string quantization = score.quantization.empty() ? "" : " " + score.quantization;
    fmt::print("published {}{} {} {} ({}{}{})\n", score.model, quantization, score.metric,
               score.value, score.source, score.n > 0 ? fmt::format(", n = {}", score.n) : "",
               score.note.empty() ? "" : "; " + score.note);
  }
}

int show_suite(const std::string& name, const std::string& data_folder) {
  const auto suite = find_suite(name);
  if (!suite.ok()) return fail(suite.error());
  fmt::print("{} ({}, version {})\n{}\n\n", suite->name, suite->title, suite->version,
             suite->description);
  for (const Component& component : suite->components) {
    fmt::print("component {} × {:.4f}\n", component.suite, component.weight);
  }
  if (!suite->command.empty()) fmt::print("computed by {}\n", suite->command);
  if (suite->judge) fmt::print("judge     needed, with --judge MODEL\n");
  if (!suite->data.empty()) {
    for (const DataSpec& data : suite->data) show_data(data, data_folder);
    const SamplingParams& sampling = suite->sampling;
    fmt::print("sampling  n {}, temperature {}, top-p {}, max-tokens {}\n", suite->num_samples,
               sampling.temperature, sampling.top_p, sampling.max_tokens);
    const auto scorer = make_scorer(suite->scorer);
    if (!scorer.ok()) return fail(scorer.error());
    fmt::print("scorer    {}\nrules     {}\n", (*scorer)->id(), (*scorer)->rules());
    if (!suite->metrics.empty()) {
      fmt::print("metrics   {}, in percent\n", join(suite->metrics, ", "));
    }
    for (const Measure& measure : suite->measures) {
      fmt::print("measure   {}, in {}\n", measure.name, measure.unit);
    }
  }
  show_published(*suite);
  if (!suite->system_prompt.empty()) fmt::print("\nsystem\n{}\n", suite->system_prompt);
  if (!suite->user_prompt.empty()) fmt::print("\nprompt\n{}\n", suite->user_prompt);
  return kExitDone;
}

}  // namespace

void add_suites_command(CLI::App& app, int* exit_code) {
  struct Options {
    std::string data, name;
  };
  auto options = std::make_shared<Options>();
  CLI::App* command =
      app.add_subcommand("suites", "List the suites, or show all about one of them");
  command->add_option("suite", options->name, "The suite to show");
  command->add_option("--data", options->data, "Folder of the suites' data")->envname("ASSAY_DATA");
  command->callback([options, exit_code] {
    *exit_code = options->name.empty() ? list_suites(options->data)
                                       : show_suite(options->name, options->data);
  });
}

}  // namespace assay
