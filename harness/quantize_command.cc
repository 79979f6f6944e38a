#include <fmt/format.h>
#include <spdlog/spdlog.h>

#include <algorithm>
#include <memory>

#include "engine/quantize/importance.h"
#include "engine/quantize/quantize.h"
#include "harness/base/clock.h"
#include "harness/base/file.h"
#include "harness/base/resources.h"
#include "harness/base/text.h"
#include "harness/commands.h"
#include "harness/model.h"

namespace assay {
namespace {

struct QuantizeArguments {
  std::string in, out;
  QuantizeOptions options;
  std::string calibration;  // a text or a run
  int calibration_tokens = 65536;
  bool verbose = false;
};

// The run's prompts with their completions, sample by sample, up to so many tokens.
Result<std::vector<std::vector<int32_t>>> sequences_of_run(const std::string& folder, int tokens) {
  ASSAY_TRY(RunStore store, RunStore::open(folder, RunStore::Mode::kRead));
  ASSAY_TRY(const std::vector<StoredItem> items, store.items());
  std::vector<std::vector<int32_t>> sequences;
  bool found = true;
  for (int index = 0; found && tokens > 0; ++index) {
    found = false;
    for (const StoredItem& item : items) {
      if (tokens <= 0) break;
      ASSAY_TRY(const auto record, store.find({item.item.suite, item.item.id, index}));
      if (!record || record->completion.token_ids.empty()) continue;
      found = true;
      std::vector<int32_t> sequence = item.prompt.token_ids;
      const std::vector<int32_t>& completion = record->completion.token_ids;
      sequence.insert(sequence.end(), completion.begin(), completion.end());
      sequence.resize(std::min(sequence.size(), static_cast<size_t>(tokens)));
      tokens -= static_cast<int>(sequence.size());
      sequences.push_back(std::move(sequence));
    }
  }
  if (sequences.empty()) return Error{folder + ": holds no samples with tokens to calibrate with"};
  return sequences;
}

Result<Importance> importance_of(const LocalModel& model, const QuantizeArguments& arguments) {
  std::vector<std::vector<int32_t>> sequences;
  if (is_directory(arguments.calibration)) {
    ASSAY_TRY(sequences, sequences_of_run(arguments.calibration, arguments.calibration_tokens));
  } else {
    constexpr size_t kWindow = 512;
    ASSAY_TRY(const std::string text, read_file(arguments.calibration));
    const std::vector<int32_t> tokens = model.tokenizer.encode(text, false);
    const size_t count =
        std::min(tokens.size(), static_cast<size_t>(std::max(0, arguments.calibration_tokens)));
    for (size_t i = 0; i < count; i += kWindow) {
      sequences.emplace_back(
          tokens.begin() + static_cast<std::ptrdiff_t>(i),
          tokens.begin() + static_cast<std::ptrdiff_t>(std::min(count, i + kWindow)));
    }
    if (sequences.empty()) return Error{arguments.calibration + ": holds no text"};
  }
  LocalEngineOptions options;
  ASSAY_TRY(const std::unique_ptr<LocalEngine> engine, LocalEngine::create(model, options));
  spdlog::info("measures the importance of weights over {} sequences of {}", sequences.size(),
               arguments.calibration);
  return measure_importance(*engine, sequences);
}

Result<QuantizeSummary> quantize(QuantizeArguments& arguments) {
  ASSAY_TRY_STATUS(model_is_there("IN", arguments.in));
  std::string path = arguments.in;
  if (path == "builtin") {
    ASSAY_TRY(path, find_resource("engine/builtin"));
  }
  ASSAY_TRY(const std::unique_ptr<LocalModel> model, LocalModel::open(path));
  if (arguments.verbose) {
    arguments.options.progress = [](const std::string& tensor, DType from, DType to) {
      spdlog::info("{}: {} → {}", tensor, to_string(from), to_string(to));
    };
  }
  Importance importance;
  if (!arguments.calibration.empty()) {
    ASSAY_TRY(importance, importance_of(*model, arguments));
    arguments.options.importance = &importance;
  }
  return quantize_model(*model, arguments.out, arguments.options);
}

int run_quantize(QuantizeArguments& arguments) {
  const double started_s = monotonic_s();
  const auto summary = quantize(arguments);
  if (!summary.ok()) return fail(summary.error());
  std::vector<std::string> types;
  for (const auto& [name, count] : summary->tensors)
    types.push_back(fmt::format("{} {}", count, name));
  fmt::print(
      "{}: {} bytes, {} parameters, {:.2f} bits each; tensors: {}; {:.1f} s\n", arguments.out,
      with_commas(summary->size_bytes), with_commas(static_cast<uint64_t>(summary->parameters)),
      8.0 * static_cast<double>(summary->weights_bytes) / static_cast<double>(summary->parameters),
      join(types, ", "), monotonic_s() - started_s);
  if (summary->fallbacks > 0) {
    spdlog::warn(
        "{} tensors have columns that blocks of 256 do not divide, and are stored in a type of "
        "more bits (q4_k → Q5_0, q5_k → Q5_1, q6_k → Q8_0), as llama.cpp does",
        summary->fallbacks);
  }
  return kExitDone;
}

}  // namespace

void add_quantize_command(CLI::App& app, int* exit_code) {
  auto arguments = std::make_shared<QuantizeArguments>();
  QuantizeArguments& a = *arguments;
  CLI::App* command = app.add_subcommand("quantize", "Write a model as a GGUF file of a type");
  command->add_option("in", a.in, "GGUF file, Hugging Face folder or builtin")->required();
  command->add_option("out", a.out, "The GGUF file to write")->required();
  std::vector<std::string> names;
  for (const QuantizeType& type : quantize_types()) names.push_back(type.name);
  command->add_option("--type", a.options.type, "One of " + join(names, ", "))
      ->capture_default_str()
      ->transform([](const std::string& text) {
        std::string lower = text;
        for (char& c : lower) c = static_cast<char>(c >= 'A' && c <= 'Z' ? c + 32 : c);
        return lower;
      });
  command->add_option("--imatrix", a.calibration,
                      "Weigh errors by the inputs that matrices see while the model reads this: a "
                      "text file, or a run's folder, the model's own reasoning");
  command->add_option("--imatrix-tokens", a.calibration_tokens, "How much of it is read")
      ->capture_default_str()
      ->check(CLI::PositiveNumber);
  command->add_flag("--allow-requantize", a.options.allow_requantize,
                    "Also from matrices that are quantized already");
  command->add_flag("--verbose", a.verbose, "Say each tensor's type");
  command->footer(
      "Example:\n  assay quantize DeepSeek-R1-Distill-Qwen-7B/ r1-7b-q4_k_m.gguf --type q4_k_m");
  command->callback([arguments, exit_code] { *exit_code = run_quantize(*arguments); });
}

}  // namespace assay
