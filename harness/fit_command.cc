// Which cards can run a model, and how fast at best: arithmetic, no measurement.
#include <fmt/format.h>

#include <algorithm>
#include <memory>

#include "engine/fit/table.h"
#include "engine/quantize/quantize.h"
#include "harness/base/file.h"
#include "harness/base/resources.h"
#include "harness/base/text.h"
#include "harness/commands.h"
#include "harness/job.h"
#include "harness/model.h"
#include "harness/run_flags.h"
#include "results/table.h"
#include "suites/published.h"

namespace assay {
namespace {

constexpr double kUsable = 0.9;        // of a card's memory, as --gpu-memory has it
constexpr double kWorkspace = 0.75e9;  // context of the driver, activations, logits
constexpr const char* kTypes[] = {"bf16", "q8_0", "q6_k", "q4_k_m"};

struct FitArguments {
  std::string model;
  int context = 32768, sequences = 64;
  double mean_tokens = 8000, price = 0, efficiency = 1;
  std::vector<std::string> tasks, cards;
  std::string data;
};

// The shape of a model on disk, or of a published one by its name.
Result<Shape> shape_of(const std::string& model, const FitTable& table) {
  if (!file_exists(model) && !is_directory(model)) {
    for (const Shape& known : table.shapes) {
      if (names_model(model, known.name)) return known;
    }
  }
  Shape shape;
  shape.name = model;
  ASSAY_TRY_STATUS(model_is_there("MODEL", model));
  std::string path = model;
  if (model == "builtin") {
    ASSAY_TRY(path, find_resource("engine/builtin"));
  }
  ASSAY_TRY(const ModelFiles files, ModelFiles::open(path));
  shape.config = files.config;
  shape.tied = files.weights.lm_head.data == files.weights.embedding.data;
  return shape;
}

struct Fit {
  double weights = 0, kv_sequence = 0;  // bytes
  int whole = 0, mean = 0;  // sequences that fit, with the whole context and with mean tokens each
  double tokens_per_s = 0;
};

// A step reads the weights once and each sequence's cache, and multiplies each weight for each
// sequence; the slower of the two decides. `length`: mean tokens in the cache.
Fit fit_on(const Card& card, const Shape& shape, const TypeSize& size, const FitArguments& a) {
  Fit fit;
  fit.weights = static_cast<double>(size.weights_bytes);
  const double kv_token = 2.0 * 2 * shape.config.layers * shape.config.kv_heads *
                          shape.config.head_dim;  // keys and values, bf16
  const int context = std::min(a.context, shape.config.context_length);
  fit.kv_sequence = kv_token * context;
  const double room = kUsable * card.memory_bytes - fit.weights - kWorkspace;
  if (room < fit.kv_sequence) return fit;
  fit.whole = static_cast<int>(room / fit.kv_sequence);
  // The cache is paged: a sequence takes what it has, on average half of what it ends with.
  const double length = std::min<double>(context, a.mean_tokens) / 2;
  fit.mean = static_cast<int>(room / (kv_token * length));
  const int batch = std::min(fit.mean, a.sequences);
  const double read = (fit.weights + batch * kv_token * length) / card.bytes_per_s;
  const double multiply = 2.0 * static_cast<double>(size.parameters) * batch / card.flops;
  fit.tokens_per_s = a.efficiency * batch / std::max(read, multiply);
  return fit;
}

// Whether all words of `name` are words of the card's: "H100" is two cards, "H100 SXM" and "L4"
// one.
bool is_named(const Card& card, const std::string& name) {
  const auto words = split(to_lower_ascii(card.name), ' ');
  const auto asked = split(to_lower_ascii(replace_all(name, "-", " ")), ' ');
  return std::all_of(asked.begin(), asked.end(), [&](const std::string& word) {
    return std::find(words.begin(), words.end(), word) != words.end();
  });
}

// Samples of the named suites; questions from their data.
Result<double> samples_of(const FitArguments& a) {
  if (a.tasks.empty()) return 0.0;
  RunOptions options;
  options.tasks = a.tasks;
  options.data = a.data;
  ASSAY_TRY(const Job job, load_job(options));
  double samples = 0;
  for (const Task& task : job.tasks) {
    samples += static_cast<double>(task.items.size()) * task.num_samples;
  }
  return samples;
}

std::string gb(double bytes) { return fmt::format("{:.1f}", bytes / 1e9); }

void print_published(const Shape& shape, const std::vector<PublishedQuantization>& published) {
  std::vector<TableRow> rows = {
      {"published",
       {"bits", "GB", "bits × parameters + 0.45 GB", "file", "bits", "claimed quality"}}};
  for (const PublishedQuantization& entry : published) {
    if (!names_model(shape.name, entry.model)) continue;
    std::string type = entry.quantization;
    for (char& c : type) c = static_cast<char>(c >= 'A' && c <= 'Z' ? c + 32 : c);
    if (type == "fp16") type = "f16";
    const auto size = size_in_type(shape.config, shape.tied, type);
    if (!size.ok()) continue;
    const double parameters = static_cast<double>(size->parameters);
    const double bytes = static_cast<double>(size->weights_bytes);
    rows.push_back(
        {entry.quantization,
         {fmt::format("{:g}", entry.bits_per_weight), fmt::format("{:.1f}", entry.memory_gb),
          gb(entry.bits_per_weight * parameters / 8 + 0.45e9), gb(bytes),
          fmt::format("{:.2f}", 8 * bytes / parameters),
          fmt::format("{:g} %", entry.claimed_quality)}});
  }
  if (rows.size() == 1) return;
  fmt::print(
      "{}\n  The published figures are nominal bits times parameters and a constant; the files are "
      "larger where blocks carry scales.\n  A claim of quality is what `assay compare` tests.\n\n",
      format_table(rows));
}

Status fit(const FitArguments& a) {
  ASSAY_TRY(const FitTable table, load_fit_table());
  ASSAY_TRY(const Shape shape, shape_of(a.model, table));
  ASSAY_TRY(const Published published, load_published());
  ASSAY_TRY(const double samples, samples_of(a));
  const int context = std::min(a.context, shape.config.context_length);
  std::vector<TableRow> rows = {
      {"card",
       {"GB", "type", "weights", "KV a sequence", "sequences", "at mean tokens", "tokens/s"}}};
  rows[0].cells.push_back("$ an hour");
  if (samples > 0) rows[0].cells.insert(rows[0].cells.end(), {"hours", "cost"});
  std::string prices, sources;
  for (const Card& card : table.cards) {
    const bool asked = a.cards.empty() ||
                       std::any_of(a.cards.begin(), a.cards.end(),
                                   [&](const std::string& name) { return is_named(card, name); });
    if (!asked) continue;
    if (!a.cards.empty()) sources += fmt::format("  {}: {}.\n", card.name, card.source);
    const double price = a.price > 0 ? a.price : card.usd_an_hour;
    if (a.price == 0) {
      prices += fmt::format("{}{} {}", prices.empty() ? "" : "; ", card.name, card.price_of);
    }
    bool first = true;
    for (const char* type : kTypes) {
      ASSAY_TRY(const TypeSize size, size_in_type(shape.config, shape.tied, type));
      const Fit found = fit_on(card, shape, size, a);
      const double tokens = samples * a.mean_tokens;
      const double hours = found.tokens_per_s > 0 ? tokens / found.tokens_per_s / 3600 : 0;
      TableRow row{
          first ? card.name : "",
          {first ? fmt::format("{:g}", card.memory_bytes / 1e9) : "", type, gb(found.weights),
           gb(found.kv_sequence), found.whole > 0 ? std::to_string(found.whole) : "does not fit",
           found.whole > 0 ? std::to_string(found.mean) : "–",
           found.whole > 0 ? fmt::format("{:.0f}", found.tokens_per_s) : "–"}};
      row.cells.push_back(first ? fmt::format("{:.2f}", price) : "");
      if (samples > 0) {
        row.cells.push_back(hours > 0 ? fmt::format("{:.1f}", hours) : "–");
        row.cells.push_back(hours > 0 ? fmt::format("{:.2f}", hours * price) : "–");
      }
      rows.push_back(std::move(row));
      first = false;
    }
  }
  if (rows.size() == 1) return Error{"--card: no card of that name; leave it out to see all"};
  fmt::print("{}, {} tokens of context, up to {} sequences at a time; memory in GB\n\n{}\n",
             shape.name, context, a.sequences, format_table(rows));
  print_published(shape, published.quantizations);
  fmt::print(
      "  tokens/s: the roof ({:g} of it), the slower of reading weights and a bf16 KV cache of "
      "half "
      "of {:.0f} tokens, and of dense bf16\n  products. {:.0f} % of the memory is used, {:.2f} GB "
      "of it for "
      "activations and the driver. Cards: {}.\n",
      a.efficiency, a.mean_tokens, 100 * kUsable, kWorkspace / 1e9, table.cards_source);
  fmt::print("{}", sources);
  if (a.efficiency == 1) {
    fmt::print("  What was reached: {:g} to {:g} of the roof ({}); see --efficiency.\n",
               table.reached_lowest, table.reached_highest, table.reached_source);
  }
  if (!prices.empty()) fmt::print("  Prices: {} ({}).\n", prices, table.prices_source);
  if (samples > 0) {
    fmt::print("  hours: {:.0f} samples of {:.0f} tokens (--mean-tokens).\n", samples,
               a.mean_tokens);
  }
  return {};
}

}  // namespace

void add_fit_command(CLI::App& app, int* exit_code) {
  auto arguments = std::make_shared<FitArguments>();
  FitArguments& a = *arguments;
  CLI::App* command =
      app.add_subcommand("fit", "Which cards can run a model, and how fast at best");
  command->add_option("model", a.model, "Model, or the name of an R1 distill")->required();
  command->add_option("--context", a.context, "Tokens that each sequence has room for")
      ->capture_default_str()
      ->check(CLI::PositiveNumber);
  command->add_option("--sequences", a.sequences, "Sequences that are sampled together")
      ->capture_default_str()
      ->check(CLI::PositiveNumber);
  command->add_option("--mean-tokens", a.mean_tokens, "Tokens of a mean completion")
      ->capture_default_str()
      ->check(CLI::PositiveNumber);
  command->add_option("--efficiency", a.efficiency, "Share of the roof that is reached")
      ->capture_default_str()
      ->check(CLI::Range(0.01, 1.0));
  command->add_option("--price", a.price,
                      "What an hour of the card costs (default: what a provider asked)");
  command->add_option("--card", a.cards, "Only cards of these names")->delimiter(',');
  command->add_option("--tasks,-t", a.tasks, "Suites of a job, as for run, for hours and cost")
      ->delimiter(',');
  a.data = default_data_folder();
  command->add_option("--data", a.data, "Folder of the suites' data")->envname("ASSAY_DATA");
  command->footer(
      "Example:\n  assay fit R1-Distill-Qwen-32B --tasks aime24:64,math500:64 --card H100,4090");
  command->callback([arguments, exit_code] {
    const Status status = fit(*arguments);
    *exit_code = status.ok() ? kExitDone : fail(status.error());
  });
}

}  // namespace assay
