#include <fmt/format.h>

#include <charconv>
#include <memory>

#include "datasets/rows.h"
#include "harness/base/file.h"
#include "harness/base/text.h"
#include "harness/commands.h"
#include "results/ratings.h"

namespace assay {
namespace {

struct RateOptions {
  std::string path, reference;
  int bootstrap = 1000;
  uint64_t seed = 0;
  bool style = false, json = false;
};

double number_at(const Json& row, const char* pointer) {
  const nlohmann::json_pointer<std::string> at(pointer);
  if (!row.contains(at)) return 0;
  const Json& value = row[at];
  if (value.is_number()) return value.get<double>();
  double sum = 0;  // {"h1": 2, "h2": 1}
  for (const Json& each : value.is_object() ? value : Json::object()) {
    if (each.is_number()) sum += each.get<double>();
  }
  return sum;
}

// Length, headers, lists and bold of Chatbot Arena's logs ("conv_metadata"), as differences: length
// (a − b)/(a + b), the others by density, (x − y)/(x + y + 1).
std::vector<double> style_of_row(const Json& row) {
  const double a = number_at(row, "/conv_metadata/sum_assistant_a_tokens");
  const double b = number_at(row, "/conv_metadata/sum_assistant_b_tokens");
  std::vector<double> style = {a + b > 0 ? (a - b) / (a + b) : 0};
  for (const char* kind : {"header_count", "list_count", "bold_count"}) {
    const double x = number_at(row, fmt::format("/conv_metadata/{}_a", kind).c_str());
    const double y = number_at(row, fmt::format("/conv_metadata/{}_b", kind).c_str());
    const double dx = x / std::max(a, 1.0), dy = y / std::max(b, 1.0);
    style.push_back((dx - dy) / (dx + dy + 1));
  }
  return style;
}

Result<Battle> read_battle(const Row& row, bool style) {
  JsonReader reader(row.fields, row.place);
  ASSAY_TRY_STATUS(reader.must_be_object());
  Battle battle;
  ASSAY_TRY(battle.model_a, reader.text("model_a"));
  ASSAY_TRY(battle.model_b, reader.text("model_b"));
  ASSAY_TRY(const std::string winner, reader.text("winner"));
  ASSAY_TRY(battle.weight, reader.number_or("weight", 1));
  if (battle.model_a == battle.model_b) return reader.wrong("model_b", "another than model_a");
  if (!(battle.weight > 0)) return reader.wrong("weight", "over 0");
  if (winner == "model_a" || winner == battle.model_a) {
    battle.score = 1;
  } else if (winner == "model_b" || winner == battle.model_b) {
    battle.score = 0;
  } else if (!winner.starts_with("tie")) {
    return reader.wrong("winner", "model_a, model_b or tie");
  }
  if (style) battle.style = style_of_row(row.fields);
  return battle;
}

Result<std::vector<Battle>> read_battles(const std::string& path, bool style) {
  ASSAY_TRY(const MappedFile file, MappedFile::open(path));
  ASSAY_TRY(const std::string text, unpacked(path, file.bytes()));
  DataSpec spec;
  spec.format = trim(text).starts_with('[') ? "json" : "jsonl";
  ASSAY_TRY(const std::vector<Row> rows, read_rows(spec, text, path));
  std::vector<Battle> battles;
  for (const Row& row : rows) {
    ASSAY_TRY(Battle battle, read_battle(row, style));
    battles.push_back(std::move(battle));
  }
  return battles;
}

Result<RatingOptions> rating_options(const RateOptions& options) {
  RatingOptions out;
  out.bootstrap = options.bootstrap;
  out.seed = options.seed;
  out.style = options.style;
  if (options.bootstrap < 0 || options.bootstrap > 1'000'000) {
    return Error{fmt::format("--bootstrap {}: must be from 0 to 1000000", options.bootstrap)};
  }
  if (options.reference.empty()) return out;
  const size_t equals = options.reference.rfind('=');
  out.reference = options.reference.substr(0, equals);
  if (equals == std::string::npos) return out;
  const char* end = options.reference.data() + options.reference.size();
  const auto [parsed, code] =
      std::from_chars(options.reference.data() + equals + 1, end, out.reference_rating);
  if (code != std::errc() || parsed != end) {
    return Error{fmt::format("--reference {}: must be MODEL or MODEL=RATING", options.reference)};
  }
  return out;
}

void print_ratings(const Ratings& ratings, bool json) {
  if (json) {
    OrderedJson out;
    for (const Rating& rating : ratings.models) {
      out["models"].push_back({{"model", rating.model},
                               {"rating", rating.rating},
                               {"lower", rating.lower},
                               {"upper", rating.upper},
                               {"battles", rating.battles},
                               {"unbounded", rating.unbounded}});
    }
    if (!ratings.style_coefficients.empty()) out["style"] = ratings.style_coefficients;
    fmt::print("{}\n", dump_json(out, 2));
    return;
  }
  size_t width = 5;
  for (const Rating& rating : ratings.models) width = std::max(width, rating.model.size());
  fmt::print("  {:<{}}  rating  95 % interval       battles\n", "model", width);
  for (const Rating& rating : ratings.models) {
    if (rating.unbounded) {
      fmt::print("  {:<{}}       –  won or lost all     {:>7}\n", rating.model, width,
                 rating.battles);
    } else {
      fmt::print("  {:<{}}  {:>6.1f}  {:>7.1f} … {:<7.1f}  {:>7}\n", rating.model, width,
                 rating.rating, rating.lower, rating.upper, rating.battles);
    }
  }
  if (!ratings.style_coefficients.empty()) {
    fmt::print(
        "\n  style, in points a standard deviation: length {:.1f}, headers {:.1f}, lists "
        "{:.1f}, bold {:.1f}\n",
        ratings.style_coefficients[0], ratings.style_coefficients[1], ratings.style_coefficients[2],
        ratings.style_coefficients[3]);
  }
}

int rate_battles(const RateOptions& options) {
  const auto battles = read_battles(options.path, options.style);
  if (!battles.ok()) return fail(battles.error());
  const auto rating = rating_options(options);
  if (!rating.ok()) return fail(rating.error());
  const auto ratings = rate(*battles, *rating);
  if (!ratings.ok()) return fail(ratings.error());
  print_ratings(*ratings, options.json);
  return kExitDone;
}

}  // namespace

void add_rate_command(CLI::App& app, int* exit_code) {
  auto options = std::make_shared<RateOptions>();
  CLI::App* command =
      app.add_subcommand("rate", "Bradley–Terry ratings of models from a log of pairwise battles");
  command
      ->add_option("battles", options->path,
                   "JSON or JSONL: {model_a, model_b, winner: model_a | model_b | tie}; .gz too")
      ->required();
  command->add_option("--reference", options->reference,
                      "MODEL or MODEL=RATING whose rating is fixed (default: the mean is 1000)");
  command->add_option("--bootstrap", options->bootstrap, "Resamples for the intervals")
      ->capture_default_str();
  command->add_option("--seed", options->seed, "Seed of the resamples")->capture_default_str();
  command->add_flag("--style", options->style,
                    "Take length and Markdown (the logs' conv_metadata) as covariates");
  command->add_flag("--json", options->json, "Print JSON");
  command->footer(
      "Example:\n  assay rate battles.jsonl --reference gpt-4-0314=1000 --bootstrap 1000");
  command->callback([options, exit_code] { *exit_code = rate_battles(*options); });
}

}  // namespace assay
