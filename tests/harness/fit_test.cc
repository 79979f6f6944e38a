// `assay fit`: sizes by the model's own arithmetic.
#include <gmock/gmock.h>

#include "engine/fit/table.h"
#include "engine/quantize/quantize.h"
#include "harness/base/file.h"
#include "tests/support.h"

namespace assay {
namespace {

using ::testing::ContainsRegex;
using ::testing::HasSubstr;
using ::testing::Not;

TEST(Fit, ShapesHaveTheParametersThatTheirModelsAreKnownFor) {
  const std::map<std::string, double> billions = {
      {"R1-Distill-Qwen-1.5B", 1.78}, {"R1-Distill-Qwen-7B", 7.62},
      {"R1-Distill-Qwen-14B", 14.77}, {"R1-Distill-Qwen-32B", 32.76},
      {"R1-Distill-Llama-8B", 8.03},  {"R1-Distill-Llama-70B", 70.55}};
  const auto table = load_fit_table();
  ASSERT_OK(table);
  for (const Shape& shape : table->shapes) {
    const auto size = size_in_type(shape.config, shape.tied, "bf16");
    ASSERT_OK(size);
    EXPECT_NEAR(static_cast<double>(size->parameters) / 1e9, billions.at(shape.name), 0.006)
        << shape.name;
  }
}

TEST(Fit, ASizeInATypeIsThatOfTheFile) {
  const std::string path = testing::tests_path("../engine/builtin");
  const auto model = LocalModel::open(path);
  ASSERT_OK(model);
  for (const QuantizeType& type : quantize_types()) {
    const testing::TemporaryFolder folder;
    QuantizeOptions options;
    options.type = type.name;
    const auto written = quantize_model(**model, folder / "m.gguf", options);
    const auto planned = size_in_type((*model)->files.config, true, type.name);
    ASSERT_OK(written);
    ASSERT_OK(planned);
    EXPECT_EQ(planned->weights_bytes, written->weights_bytes) << type.name;
    EXPECT_EQ(planned->parameters, written->parameters) << type.name;
  }
}

TEST(Fit, AJobHasHoursAndWhatTheyCost) {
  const std::string job = "fit R1-Distill-Qwen-7B --tasks arithmetic:64 ";
  const auto known = testing::run_program(job + "--card H100,L4,Ada");
  EXPECT_EQ(known.exit_code, 0) << known.err;
  EXPECT_THAT(known.out, ContainsRegex("H100 SXM +80 +bf16 .* 3\\.99 +[0-9.]+ +[0-9.]+\n"));
  EXPECT_THAT(known.out, ContainsRegex("L4 +24 +bf16 .* 0\\.80 +[0-9.]+ +[0-9.]+\n"));
  EXPECT_THAT(known.out, ContainsRegex("Ada +48 +bf16 .* 1\\.91 +[0-9.]+ +[0-9.]+\n"));
  EXPECT_THAT(known.out, HasSubstr("; H100 PCIe RunPod secure, read 2026-11-09; H100 SXM"));
  EXPECT_THAT(known.out, HasSubstr("What was reached: 0.08 to 0.35 of the roof"));
  const auto given = testing::run_program(job + "--card L4 --price 2 --efficiency 0.2");
  EXPECT_THAT(given.out, ContainsRegex("L4 +24 +bf16 .* 2\\.00 +[0-9.]+ +[0-9.]+\n"));
  EXPECT_THAT(given.out, Not(HasSubstr("Prices:")));
  EXPECT_THAT(given.out, Not(HasSubstr("What was reached")));
}

TEST(Fit, EveryCardHasASourceWhichIsShownForThoseThatAreAskedFor) {
  const auto table = load_fit_table();
  ASSERT_OK(table);
  const std::string all = testing::run_program("fit builtin").out;
  const std::string l4 = testing::run_program("fit builtin --card L4").out;
  for (const Card& card : table->cards) {
    EXPECT_NE(card.source, "") << card.name;
    EXPECT_GT(card.usd_an_hour, 0) << card.name;
    const std::string line = card.name + ": " + card.source;
    EXPECT_THAT(all, Not(HasSubstr(line)));
    EXPECT_EQ(l4.find(line) != std::string::npos, card.name == "L4") << line;
  }
}

TEST(Fit, ThePublishedMemoryIsNominalBitsTimesParameters) {
  const auto result = testing::run_program("fit R1-Distill-Qwen-32B --card H100");
  EXPECT_EQ(result.exit_code, 0) << result.err;
  // 18,926 MiB is what llama-quantize announces for Q4_K_M.
  EXPECT_THAT(result.out, HasSubstr("19.8"));
  EXPECT_THAT(result.out, HasSubstr("4.85"));
  const Json published =
      testing::load_json(testing::tests_path("../suites/published/published.json"));
  const auto table = load_fit_table();
  ASSERT_OK(table);
  for (const Shape& shape : table->shapes) {
    if (shape.name != "R1-Distill-Qwen-32B") continue;
    const auto size = size_in_type(shape.config, shape.tied, "bf16");
    ASSERT_OK(size);
    for (const Json& entry : published["quantizations"]) {
      const double gb =
          (entry["bits_per_weight"].get<double>() * static_cast<double>(size->parameters) / 8 +
           0.45e9) /
          1e9;
      EXPECT_NEAR(gb / entry["memory_gb"].get<double>(), 1, 0.01) << entry;
    }
  }
  EXPECT_EQ(testing::run_program("fit nothing").exit_code, 2);
  EXPECT_EQ(testing::run_program("fit builtin --card Voodoo").exit_code, 2);
}

}  // namespace
}  // namespace assay
