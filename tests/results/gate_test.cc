// The gate: its error rates by simulation, its verdicts and files in the program.
#include "results/gate.h"

#include <gmock/gmock.h>

#include <map>
#include <random>
#include <sstream>

#include "harness/base/file.h"
#include "tests/support.h"

namespace assay {
namespace {

using ::testing::HasSubstr;

struct Rates {
  double alarms = 0, passes = 0, pairs = 0;
};

Rates simulate(const GateOptions& options, double flips, double drop, int runs) {
  std::mt19937_64 random(5);
  std::uniform_real_distribution<double> uniform(0, 1);
  const double worse = (flips + drop) / 2, better = (flips - drop) / 2;
  Rates rates;
  for (int run = 0; run < runs; ++run) {
    SequentialTest test(options);
    while (test.verdict() == GateVerdict::kUndecided && test.pairs() < 200'000) {
      const double u = uniform(random);
      test.add(u < worse ? -1 : u < worse + better ? 1 : 0);
    }
    rates.alarms += test.verdict() == GateVerdict::kRegression ? 1.0 / runs : 0;
    rates.passes += test.verdict() == GateVerdict::kPass ? 1.0 / runs : 0;
    rates.pairs += static_cast<double>(test.pairs()) / runs;
  }
  return rates;
}

TEST(SequentialGate, KeepsItsErrorRatesAndStopsEarly) {
  const int runs = testing::kOptimized ? 2000 : 100;
  const double room = testing::kOptimized ? 1 : 4;  // standard errors are 1 / √runs
  const GateOptions options;                        // 1 point, alpha 0.01, power 0.9
  for (const double flips : {0.02, 0.1}) {
    const Rates none = simulate(options, flips, 0, runs);
    EXPECT_LE(none.alarms, 0.01 + 0.0067 * room) << flips;
    EXPECT_GE(none.passes, 0.99 - 0.0067 * room) << flips;
    const Rates one = simulate(options, flips, 0.01, runs);
    EXPECT_GE(one.alarms, 0.9 - 0.02 * room) << flips;
    // Of any test with these rates the fewest samples expected are a third of the fixed one's
    // (Wald 1945).
    EXPECT_GT(fixed_pairs(options, flips) / none.pairs, 1.9) << flips;
    EXPECT_GT(fixed_pairs(options, flips) / one.pairs, 1.3) << flips;
  }
  const Rates five = simulate(options, 0.1, 0.05, runs);
  EXPECT_GE(five.alarms, 0.99);
  EXPECT_GT(fixed_pairs(options, 0.1) / five.pairs, 20);
  // Two runs that share no random numbers differ as much as two samples of a question do: by 0.3 in
  // variance where a sample is right with 0.18 or 0.82. The usual test on those needs far more.
  EXPECT_GT(fixed_pairs(options, 0.3) / simulate(options, 0.05, 0, runs).pairs, 5);
}

// Eight samples of each question: half the questions lose what the others gain, and there are few
// draws before some run out.
TEST(SequentialGate, KeepsItsErrorRatesWhenItDrawsWhatIsLeftOfFewSamples) {
  const int runs = testing::kOptimized ? 4000 : 200;
  const double room = testing::kOptimized ? 1 : 4;
  const GateOptions options{0.1, 0.05, 0.9};
  std::mt19937_64 random(9);
  std::uniform_real_distribution<double> uniform(0, 1);
  double alarms[2] = {}, passes[2] = {}, weights = 0, pairs = 0;
  for (const double drop : {0.0, 0.1}) {
    for (int run = 0; run < runs; ++run) {
      SequentialTest test(options);
      QuestionDraws draws(40, 8, options.max_drop);
      while (test.verdict() == GateVerdict::kUndecided) {
        const auto draw = draws.next(uniform(random));
        if (!draw) break;
        ASSERT_LE(draw->weight, draw->largest);
        weights += draw->weight;
        pairs += 1;
        // Of one question the new model solves 60 % more, or 60 % less, of the samples.
        const double up = draw->question % 2 == 0 ? 0.6 : 0, down = 0.6 - up + drop;
        const double u = uniform(random);
        draws.saw(draw->question, u < down + up);
        test.add(draw->weight * (u < down ? -1 : u < down + up ? 1 : 0), draw->largest);
      }
      alarms[drop > 0] += test.verdict() == GateVerdict::kRegression ? 1.0 / runs : 0;
      passes[drop > 0] += test.verdict() == GateVerdict::kPass ? 1.0 / runs : 0;
    }
  }
  std::printf(
      "%.1f %% false alarms, %.1f %% false passes; decided without and with a drop: %.0f %%, %.0f "
      "%%\n",
      100 * alarms[0], 100 * passes[1], 100 * (alarms[0] + passes[0]),
      100 * (alarms[1] + passes[1]));
  EXPECT_LE(alarms[0], 0.05 + 0.011 * room);  // three standard errors
  EXPECT_LE(passes[1], 0.1 + 0.015 * room);
  EXPECT_NEAR(weights / pairs, 1, 0.01);
}

// Whether the questions that change are those that the base solves at times; or, misleading, those
// that it always solves.
enum class Base { kUnknown, kKnown, kMisleading };

// Of 100 questions only the first `changing` change, in `flips` of all samples; as the gate draws,
// in rounds.
Rates simulate_questions(const GateOptions& options, int changing, double flips, double drop,
                         int runs, int samples = 4096, Base known = Base::kUnknown) {
  std::vector<double> base;
  for (int q = 0; known != Base::kUnknown && q < 100; ++q) {
    base.push_back((q < changing) == (known == Base::kKnown) ? 0.5 : 1);
  }
  std::mt19937_64 random(7);
  std::uniform_real_distribution<double> uniform(0, 1);
  const double worse = (flips + drop) / 2 * 100 / changing;
  const double either = flips * 100 / changing;
  Rates rates;
  for (int run = 0; run < runs; ++run) {
    SequentialTest test(options);
    QuestionDraws draws(100, samples, options.max_drop, base);
    for (int size = 256; test.verdict() == GateVerdict::kUndecided; size += size / 2) {
      std::vector<QuestionDraws::Draw> round;
      while (static_cast<int>(round.size()) < size) {
        const auto draw = draws.next(uniform(random));
        if (!draw) break;
        round.push_back(*draw);
      }
      if (round.empty()) break;
      for (const QuestionDraws::Draw& draw : round) {
        if (test.verdict() != GateVerdict::kUndecided) break;
        const double u = draw.question < static_cast<size_t>(changing) ? uniform(random) : 1;
        draws.saw(draw.question, u < either);
        test.add(draw.weight * (u < worse ? -1 : u < either ? 1 : 0), draw.largest);
      }
    }
    rates.alarms += test.verdict() == GateVerdict::kRegression ? 1.0 / runs : 0;
    rates.passes += test.verdict() == GateVerdict::kPass ? 1.0 / runs : 0;
    rates.pairs += static_cast<double>(test.pairs()) / runs;
  }
  return rates;
}

// Favoured questions run out sooner, but less is needed then: with questions drawn alike 77 to 79 %
// pass.
TEST(SequentialGate, DecidesOfAFinishedRunsSamplesAsOftenAsBefore) {
  const int runs = testing::kOptimized ? 1000 : 20;
  const double room = testing::kOptimized ? 1 : 7;
  for (const Base base : {Base::kUnknown, Base::kKnown}) {
    for (const int changing : {100, 50, 25, 10}) {
      const Rates none = simulate_questions(GateOptions(), changing, 0.08, 0, runs, 64, base);
      std::printf("%d of 100 questions change: %.1f %% pass after %.0f pairs\n", changing,
                  100 * none.passes, none.pairs);
      EXPECT_GE(none.passes, 0.74 - 0.03 * room) << changing;
      EXPECT_LE(none.alarms, 0.01 + 0.0095 * room) << changing;
    }
  }
}

// What is expected of a question comes from the very samples that its pairs are made of.
TEST(SequentialGate, KeepsItsErrorRatesWhereTheBasesOwnSamplesSayWhatMayChange) {
  const int runs = testing::kOptimized ? 2000 : 100;
  const double room = testing::kOptimized ? 1 : 4.5;
  for (const int samples : {64, 8}) {
    const GateOptions options{samples == 64 ? 0.02 : 0.1, 0.05, 0.9};
    std::mt19937_64 random(11);
    std::uniform_real_distribution<double> uniform(0, 1);
    double alarms = 0, passes = 0;
    for (int run = 0; run < 2 * runs; ++run) {
      const double drop = run < runs ? 0 : options.max_drop;
      std::vector<double> right(100), base(100);
      std::vector<std::vector<bool>> outcomes(100);
      for (size_t q = 0; q < 100; ++q) {
        right[q] = 1 - 0.8 * std::pow(uniform(random), 3);  // most are nearly always solved
        for (int i = 0; i < samples; ++i) {
          outcomes[q].push_back(uniform(random) < right[q]);
          base[q] += outcomes[q].back() / static_cast<double>(samples);
        }
      }
      SequentialTest test(options);
      QuestionDraws draws(100, samples, options.max_drop, base);
      while (test.verdict() == GateVerdict::kUndecided) {
        const auto draw = draws.next(uniform(random));
        if (!draw) break;
        const bool before = outcomes[draw->question][static_cast<size_t>(samples - draw->left)];
        bool after = before;
        if (uniform(random) < 0.4) after = uniform(random) < right[draw->question];
        if (after && uniform(random) < drop / right[draw->question]) after = false;
        draws.saw(draw->question, before != after);
        test.add(draw->weight * (int{after} - int{before}), draw->largest);
      }
      (drop > 0 ? passes : alarms) +=
          test.verdict() == (drop > 0 ? GateVerdict::kPass : GateVerdict::kRegression) ? 1.0 / runs
                                                                                       : 0;
    }
    std::printf("%d samples: %.1f %% false alarms, %.1f %% false passes\n", samples, 100 * alarms,
                100 * passes);
    EXPECT_LE(alarms, 0.05 + 0.0146 * room) << samples;  // three standard errors
    EXPECT_LE(passes, 0.1 + 0.0201 * room) << samples;
  }
}

TEST(SequentialGate, DrawsFewestPairsWhereTheBasesScoresSayWhatMayChange) {
  const int runs = testing::kOptimized ? 1000 : 20;
  const double room = testing::kOptimized ? 1 : 7;
  const GateOptions options;
  const double fixed = fixed_pairs(options, 0.08);
  for (const auto& [base, name] :
       {std::pair(Base::kKnown, "expected"), std::pair(Base::kMisleading, "others")}) {
    for (const int changing : {50, 25, 10}) {
      const auto run = [&](double drop) {
        return simulate_questions(options, changing, 0.08, drop, runs, 4096, base);
      };
      const Rates none = run(0), one = run(0.01), five = run(0.05);
      std::printf(
          "%d of 100 questions change, %s: %.2f %% and %.1f %% alarms; pairs %.0f, %.0f, %.0f: "
          "%.1f, %.1f, %.1f\n",
          changing, name, 100 * none.alarms, 100 * one.alarms, none.pairs, one.pairs, five.pairs,
          fixed / none.pairs, fixed / one.pairs, fixed / five.pairs);
      EXPECT_LE(none.alarms, 0.01 + 0.0095 * room) << changing;
      EXPECT_GE(one.alarms, 0.9 - 0.028 * room) << changing;
      EXPECT_GE(five.alarms, 0.99) << changing;
      if (!testing::kOptimized || base == Base::kMisleading || changing == 50) continue;
      EXPECT_GT(fixed / none.pairs, 5) << changing;
    }
  }
}

TEST(SequentialGate, DrawsMostWhereSamplesChange) {
  const int runs = testing::kOptimized ? 1000 : 20;
  const double room = testing::kOptimized ? 1 : 7;  // standard errors are 1 / √runs
  const GateOptions options;
  const double fixed = fixed_pairs(options, 0.08);
  for (const int changing : {100, 50, 25, 10}) {
    const Rates none = simulate_questions(options, changing, 0.08, 0, runs);
    const Rates one = simulate_questions(options, changing, 0.08, 0.01, runs);
    const Rates five = simulate_questions(options, changing, 0.08, 0.05, runs);
    std::printf(
        "%d of 100 questions change: %.2f %% and %.1f %% alarms without and with a drop; pairs "
        "%.0f, %.0f, %.0f with "
        "none, 1 and 5 points: %.1f, %.1f and %.1f times fewer than the fixed test\n",
        changing, 100 * none.alarms, 100 * one.alarms, none.pairs, one.pairs, five.pairs,
        fixed / none.pairs, fixed / one.pairs, fixed / five.pairs);
    EXPECT_LE(none.alarms, 0.01 + 0.0095 * room) << changing;
    EXPECT_GE(one.alarms, 0.9 - 0.028 * room) << changing;
    if (!testing::kOptimized) continue;  // means of 20 runs say little
    EXPECT_GT(fixed / none.pairs, changing > 50   ? 2
                                  : changing > 25 ? 2.8
                                  : changing > 10 ? 3.8
                                                  : 5);
    EXPECT_GT(fixed / five.pairs, 20) << changing;
  }
}

TEST(SequentialGate, NoPairOfARareQuestionLosesTheWholeBet) {
  SequentialTest test({0.5, 1e-6, 1 - 1e-6});
  for (int i = 0; i < 10; ++i) test.add(0);  // large bets: nothing differs
  test.add(4, 4);
  EXPECT_GT(test.alarm_evidence(), 0);
  test.add(-4, 4);
  EXPECT_GT(test.pass_evidence(), 0);
}

// Without the weight, questions that were drawn less would count more.
TEST(SequentialGate, APairCountsByHowRareItsQuestionWas) {
  QuestionDraws two(2, 3, 0.01);
  EXPECT_EQ(two.next(0.0)->question, 0u);
  EXPECT_EQ(two.next(0.0)->question, 0u);  // of 5 left it had 2
  const auto rare = two.next(0.2);         // of 4 left it has 1
  ASSERT_TRUE(rare);
  EXPECT_EQ(rare->question, 0u);
  EXPECT_DOUBLE_EQ(rare->weight, 2);  // 1 / (2 · 1/4)
  EXPECT_DOUBLE_EQ(rare->largest, 2);
  QuestionDraws other(2, 3, 0.01);
  other.next(0.0);
  other.next(0.0);
  const auto common = other.next(0.3);
  ASSERT_TRUE(common);
  EXPECT_EQ(common->question, 1u);
  EXPECT_DOUBLE_EQ(common->weight, 2.0 / 3);  // 1 / (2 · 3/4)
  EXPECT_DOUBLE_EQ(common->largest, 2);
}

TEST(SequentialGate, DrawsMostSamplesBeforeAQuestionRunsOut) {
  std::mt19937_64 random(3);
  std::uniform_real_distribution<double> uniform(0, 1);
  QuestionDraws draws(100, 64, 0.01);
  int drawn = 0;
  while (draws.next(uniform(random))) ++drawn;
  EXPECT_GT(drawn, 5400);  // of 6,400; each with the same chance they would end at 4,700
  EXPECT_FALSE(QuestionDraws(0, 4, 0.01).next(0.5));
  QuestionDraws one(1, 2, 0.01);
  EXPECT_EQ(one.next(0.999)->left, 2);
  EXPECT_EQ(one.next(0.0)->left, 1);
  EXPECT_FALSE(one.next(0.0));
}

TEST(SequentialGate, TellsTheSamplesItExpects) {
  const GateOptions options;
  const double simulated = simulate(options, 0.1, 0, 200).pairs;
  EXPECT_NEAR(expected_pairs(options, 0.1, 0, 200'000) / simulated, 1, 0.2);
  EXPECT_NEAR(expected_pairs(options, 0.1, 0, 100), 100, 1);
}

TEST(SequentialGate, RunsThatNeverDifferPass) {
  SequentialTest test({0.01, 0.01, 0.9});
  while (test.verdict() == GateVerdict::kUndecided) test.add(0);
  EXPECT_EQ(test.verdict(), GateVerdict::kPass);
  EXPECT_LT(test.pairs(), 500);  // and not before a drop of a point would have shown
  EXPECT_GT(test.pairs(), 200);
}

TEST(FixedGate, ADropThatCountsIsARegressionASmallerOneIsNot) {
  PairedSuite suite;
  suite.suite = "s";
  suite.questions = 100;
  suite.pairs = 6400;
  suite.sampling_se = 0.003;
  suite.difference = -0.031;
  suite.mcnemar_p = 1e-12;
  EXPECT_EQ(gate_fixed(suite, {}).verdict, GateVerdict::kRegression);
  suite.difference = -0.004;
  suite.sampling_se = 0.001;
  EXPECT_EQ(gate_fixed(suite, {}).verdict, GateVerdict::kPass);
  suite.mcnemar_p = 0.4;
  suite.sampling_se = 0.03;
  EXPECT_EQ(gate_fixed(suite, {}).verdict, GateVerdict::kUndecided);
  EXPECT_THAT(gate_fixed(suite, {}).why, HasSubstr("a question would decide"));
}

TEST(GateFiles, HoldWhatModelsAndSuitesAreCalledWithoutBreaking) {
  GateResult result;
  result.base = "a<b>&\"c\"";
  result.other = "x|y\nz";
  GateRow row;
  row.suite = "s<script>";
  row.verdict = GateVerdict::kRegression;
  row.why = "]]> & \x01";
  result.rows.push_back(row);
  const std::string xml = gate_junit(result);
  EXPECT_THAT(xml, HasSubstr("failures=\"1\""));
  EXPECT_THAT(xml, HasSubstr("a&lt;b&gt;&amp;&#34;c&#34;"));
  EXPECT_EQ(xml.find("<script>"), std::string::npos);
  EXPECT_EQ(xml.find('\x01'), std::string::npos);
  EXPECT_THAT(gate_markdown(result), HasSubstr("x\\|y z"));
}

TEST(GateCommand, PassesASoundChangeAndCatchesABrokenOne) {
  const testing::TemporaryFolder folder;
  const std::string q8 = folder / "q8_0.gguf";
  ASSERT_EQ(testing::run_program("quantize builtin " + q8 + " --type q8_0").exit_code, 0);
  const std::string flags = " --tasks arithmetic --max-drop 3 ";
  const auto pass = testing::run_program("gate builtin " + q8 + flags + "-o " + (folder / "pass"));
  EXPECT_EQ(pass.exit_code, 0) << pass.err;
  EXPECT_THAT(pass.err, HasSubstr("pairs expected"));
  // It goes on with the samples that are there, to the same end.
  const auto again = testing::run_program("gate builtin " + q8 + flags + "-o " + (folder / "pass"));
  EXPECT_EQ(again.out, pass.out);
  // Finished runs, one of them cut short.
  for (const auto& [name, limit] : {std::pair("whole", "256"), std::pair("cut", "40")}) {
    ASSERT_EQ(testing::run_program("run --model builtin --tasks arithmetic:8 --max-tokens " +
                                   std::string(limit) + " -o " + (folder / name))
                  .exit_code,
              0);
  }
  const std::string junit = folder / "junit.xml";
  const auto fail = testing::run_program("gate " + (folder / "whole") + " " + (folder / "cut") +
                                         " --junit " + junit + " --markdown " + (folder / "m.md"));
  EXPECT_EQ(fail.exit_code, 1) << fail.err;
  EXPECT_THAT(fail.out, HasSubstr("regression"));
  const auto written = read_file(junit);
  ASSERT_OK(written);
  EXPECT_THAT(*written, HasSubstr("<failure message="));
  const auto small = testing::run_program("gate builtin " + q8 +
                                          " --tasks arithmetic --max-pairs 64 "
                                          "-o " +
                                          (folder / "small"));
  EXPECT_EQ(small.exit_code, 3) << small.out;
  const auto without_tasks = testing::run_program("gate builtin " + q8);
  EXPECT_EQ(without_tasks.exit_code, 2);
  EXPECT_THAT(without_tasks.err, HasSubstr("--tasks: name the suites"));
  const auto nowhere = testing::run_program("gate builtin " + (folder / "nowhere"));
  EXPECT_EQ(nowhere.exit_code, 2);
  EXPECT_THAT(nowhere.err, HasSubstr("nowhere: there is no such file or folder"));
}

TEST(GateCommand, OfAFinishedRunSamplesOnlyTheOtherModelAsTheRunWasSampled) {
  const testing::TemporaryFolder folder;
  const std::string run = folder / "run", q8 = folder / "q8_0.gguf", out = folder / "gate";
  ASSERT_EQ(testing::run_program("quantize builtin " + q8 + " --type q8_0").exit_code, 0);
  ASSERT_EQ(testing::run_program("run --model builtin --tasks arithmetic:16 --seed 7 "
                                 "--temperature 0.8 -o " +
                                 run)
                .exit_code,
            0);
  const auto pass = testing::run_program("gate " + run + " " + q8 + " --max-drop 3 -o " + out);
  EXPECT_EQ(pass.exit_code, 0) << pass.err;
  EXPECT_THAT(pass.err, HasSubstr("a pair costs one new sample"));
  EXPECT_THAT(pass.out, HasSubstr("q8_0.gguf beside replay of"));
  // The new samples are those that the run's settings give, and no more than pairs were drawn.
  const auto whole = testing::run_program("run --model " + q8 +
                                          " --tasks arithmetic:16 --seed 7 --temperature 0.8 -o " +
                                          (folder / "whole"));
  ASSERT_EQ(whole.exit_code, 0) << whole.err;
  const auto tokens_of = [](const std::string& exported) {
    std::map<std::string, std::string> tokens;
    std::istringstream lines(exported);
    for (std::string line; std::getline(lines, line);) {
      const Json sample = Json::parse(line);
      const std::string id = dump_json(sample["item_id"]) + "/" + dump_json(sample["sample_index"]);
      tokens[id] = dump_json(sample["token_ids"]);
    }
    return tokens;
  };
  const auto drawn = tokens_of(testing::run_program("export " + out + "/new").out);
  const auto all = tokens_of(testing::run_program("export " + (folder / "whole")).out);
  EXPECT_GE(drawn.size(), 50u);
  EXPECT_LT(drawn.size(), all.size());
  for (const auto& [id, token_ids] : drawn) EXPECT_EQ(token_ids, all.at(id)) << id;
  // It can stand on either side; a flag that contradicts it is an error.
  const auto other_side =
      testing::run_program("gate " + q8 + " " + run + " --max-drop 3 -o " + (folder / "other"));
  EXPECT_EQ(other_side.exit_code, 0) << other_side.err;
  const auto differs = testing::run_program("gate " + run + " " + q8 + " --temperature 0.5 -o " +
                                            (folder / "differs"));
  EXPECT_EQ(differs.exit_code, 2);
  EXPECT_THAT(differs.err, HasSubstr("was made with other settings"));
  EXPECT_THAT(differs.err, HasSubstr("temperature: 0.8 there, 0.5 now"));
  const auto more = testing::run_program("gate " + run + " " + q8 + " --tasks arithmetic:17 -o " +
                                         (folder / "more"));
  EXPECT_EQ(more.exit_code, 2);
  EXPECT_THAT(more.err, HasSubstr("arithmetic/num_samples: 16 there, 17 now"));
  const auto named = testing::run_program(
      "gate " + run + " " + q8 + " --tasks arithmetic --max-drop 3 -o " + (folder / "named"));
  EXPECT_EQ(named.out, pass.out) << named.err;
}

// The judge finds every answer right, so nothing differs; it judges what each round has drawn.
TEST(GateCommand, AsksTheJudgeAboutEachRound) {
  const testing::TemporaryFolder folder;
  std::string judgments, answers;
  for (const char* item : {"hle-a", "hle-b", "hle-c"}) {
    const std::vector<std::string> same(256, "Exact Answer: B\nConfidence: 50%");
    answers += dump_json(Json{{"id", item}, {"completion", same}}) + "\n";
    for (int sample = 0; sample < 256; ++sample) {
      judgments += dump_json(Json{{"id", std::string(item) + "/" + std::to_string(sample) + "/a"},
                                  {"completion", "correct: yes\nconfidence: 90"}}) +
                   "\n";
    }
  }
  const std::string judge = folder / "judge.jsonl", model = folder / "model.jsonl";
  ASSERT_OK(write_file_atomically(judge, judgments));
  ASSERT_OK(write_file_atomically(model, answers));
  const std::string data = " --data " + testing::tests_path("../datasets/samples");
  const std::string gate = "gate completions:" + model + " completions:" + model +
                           " --tasks hle --max-drop 5" + data + " -o " + (folder / "gate");
  const auto pass = testing::run_program(gate + " --judge completions:" + judge);
  EXPECT_EQ(pass.exit_code, 0) << pass.err;
  EXPECT_THAT(pass.out, HasSubstr("100.0"));
  const auto no_judge = testing::run_program(gate + "2");
  EXPECT_EQ(no_judge.exit_code, 2);
  EXPECT_THAT(no_judge.err, HasSubstr("hle: name the model that judges its answers with --judge"));
  const auto games = testing::run_program(
      "gate builtin builtin --tasks arena_hard_v2_creative -o " + (folder / "games") + data);
  EXPECT_EQ(games.exit_code, 2);
  EXPECT_THAT(games.err, HasSubstr("its answers are not right or wrong"));
}

}  // namespace
}  // namespace assay
