#include <fmt/format.h>
#include <unistd.h>

#include <algorithm>
#include <cstdlib>
#include <memory>

#include "datasets/dataset.h"
#include "datasets/fetch.h"
#include "harness/base/text.h"
#include "harness/commands.h"
#include "harness/signals.h"
#include "suites/suite.h"

namespace assay {
namespace {

struct FetchArguments {
  std::vector<std::string> suites, mirrors;
  FetchOptions options;
  std::string release;  // empty: the suite's
};

// The files of a suite's official data, each once; what lies in an archive as the archive.
Result<std::vector<ManifestEntry>> files_of(const std::string& suite_name,
                                            const std::string& release) {
  ASSAY_TRY(const Suite suite, find_suite(suite_name));
  std::vector<std::string> names;
  const auto add = [&](const std::string& name, const DataSpec& data) {
    if (name.empty() || data.in_tree) return;
    const std::vector<std::string> groups =
        data.groups.empty() ? std::vector<std::string>{""} : data.groups;
    for (const std::string& group : groups) names.push_back(replace_all(name, "{group}", group));
  };
  if (!suite.data.empty()) {
    DataSpec data = suite.data.front();
    if (!release.empty()) {
      ASSAY_TRY(data, of_release(data, release));
    }
    for (const std::string& file : data_files(data)) add(file, data);
    add(data.ids_file, data);
    add(data.examples.file, data);
    for (const JoinSpec& join : data.joins) add(join.file, data);
    for (const Measure& measure : suite.measures) add(measure.population, data);
    for (const JudgePrompt& prompt :
         suite.judge ? suite.judge->prompts : std::vector<JudgePrompt>()) {
      add(prompt.file, data);
    }
  }
  std::vector<ManifestEntry> files;
  std::vector<std::string> seen;
  for (const std::string& name : names) {
    ASSAY_TRY(ManifestEntry entry, find_manifest_entry(name));
    if (!entry.zip.file.empty()) {
      ASSAY_TRY(entry, find_manifest_entry(entry.zip.file));
    }
    if (std::find(seen.begin(), seen.end(), entry.file) != seen.end()) continue;
    seen.push_back(entry.file);
    files.push_back(std::move(entry));
  }
  return files;
}

Status read_mirrors(FetchArguments& arguments) {
  for (const std::string& text : arguments.mirrors) {
    const size_t equals = text.find('=');
    if (equals == std::string::npos || equals == 0) {
      return Error{
          fmt::format("--mirror {}: must be BEGINNING=REPLACEMENT, as "
                      "https://huggingface.co/=https://mirror.example/",
                      quote_for_message(text))};
    }
    arguments.options.mirrors.emplace_back(text.substr(0, equals), text.substr(equals + 1));
  }
  return {};
}

void show_progress(FetchOptions& options, const std::string& file) {
  if (isatty(STDERR_FILENO) == 0) return;
  options.progress = [file, shown = int64_t{-1}](int64_t got, int64_t total) mutable {
    const int64_t step = total > 0 ? 100 * got / total : got >> 20;
    if (step == shown) return;
    shown = step;
    fmt::print(stderr, "\rassay: {} {}{}\033[K", file, step, total > 0 ? " %" : " MiB");
  };
}

// What is there of each suite, and where the rest comes from.
int list_files(const FetchArguments& arguments, const std::vector<std::string>& names) {
  for (const std::string& name : names) {
    const auto files = files_of(name, arguments.release);
    if (!files.ok()) return fail(files.error());
    for (const ManifestEntry& entry : *files) {
      const bool there = access((arguments.options.folder + "/" + entry.file).c_str(), R_OK) == 0;
      const bool can = !entry.fetch.urls.empty() || !entry.fetch.rows_api.empty();
      fmt::print("{:<18} {:<14} {}  ({})\n", name,
                 there                       ? "there"
                 : !can                      ? "by hand"
                 : entry.fetch.terms.empty() ? "to fetch"
                                             : "has terms",
                 entry.file, entry.licence);
    }
  }
  return kExitDone;
}

int fetch(FetchArguments& arguments) {
  FetchOptions& options = arguments.options;
  if (const Status status = read_mirrors(arguments); !status.ok()) return fail(status.error());
  if (options.folder.empty()) options.folder = cached_data_folder();
  if (options.folder.empty()) {
    return fail(
        Error{"fetch: name a folder with --data, as neither XDG_CACHE_HOME nor HOME is set"});
  }
  std::vector<std::string> names = arguments.suites;
  const bool list = names.empty();
  if (list || names == std::vector<std::string>{"all"}) {
    const auto all = suite_names();
    if (!all.ok()) return fail(all.error());
    names = *all;
  }
  if (list) return list_files(arguments, names);
  if (const char* token = std::getenv("HF_TOKEN")) options.token = token;
  install_stop_handler();
  options.stop = &stop_requested();
  int failed = 0;
  for (const std::string& name : names) {
    const auto files = files_of(name, arguments.release);
    if (!files.ok()) return fail(files.error());
    for (const ManifestEntry& entry : *files) {
      show_progress(options, entry.file);
      const auto fetched = fetch_file(entry, options);
      if (options.progress) fmt::print(stderr, "\r\033[K");
      if (!fetched.ok()) {
        ++failed;
        fail(fetched.error());
        if (stop_requested()) return kExitIncomplete;
        continue;
      }
      fmt::print("{} {}\n", *fetched == Fetched::kNew ? "fetched" : "there  ", entry.file);
    }
  }
  if (failed > 0) {
    fmt::print(stderr, "assay: {} files are missing\n", failed);
    return kExitIncomplete;
  }
  fmt::print(stderr, "assay: the data are in {}\n", options.folder);
  return kExitDone;
}

}  // namespace

void add_fetch_command(CLI::App& app, int* exit_code) {
  auto arguments = std::make_shared<FetchArguments>();
  CLI::App* command =
      app.add_subcommand("fetch", "Bring the data of suites; without a suite, list what there is");
  command->add_option("suites", arguments->suites, "Suites, or all");
  command
      ->add_option("--data", arguments->options.folder,
                   "Where the files go (default: the cache folder, which runs look into)")
      ->envname("ASSAY_DATA");
  command->add_option("--release", arguments->release, "Release of the data, as v6");
  command->add_flag("--accept-terms", arguments->options.accept_terms,
                    "Agree to what the owners of some data ask for (GPQA, HLE)");
  command->add_flag("--offline", arguments->options.offline, "Only say what is missing");
  command->add_option("--mirror", arguments->mirrors,
                      "BEGINNING=REPLACEMENT of addresses; may be repeated");
  command->footer(
      "Examples:\n"
      "  assay fetch\n"
      "  assay fetch math500 aime24\n"
      "  HF_TOKEN=… assay fetch hle --accept-terms\n"
      "Proxies are taken from http_proxy, https_proxy and no_proxy.");
  command->callback([arguments, exit_code] { *exit_code = fetch(*arguments); });
}

}  // namespace assay
