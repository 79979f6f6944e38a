// The program as a user runs it: exit codes, messages, resuming, replaying.
#include <fcntl.h>
#include <gmock/gmock.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include <chrono>
#include <random>
#include <thread>

#include "harness/base/clock.h"
#include "harness/base/file.h"
#include "harness/base/text.h"
#include "results/store.h"
#include "tests/support.h"

namespace assay {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;
using ::testing::Not;
using testing::run_program;

constexpr int kN = testing::kOptimized ? 64 : 4;
const std::string kSmall =
    "run --model builtin --tasks arithmetic --limit 10 --threads 2 -n " + std::to_string(kN) + " ";

class Cli : public ::testing::Test {
 protected:
  std::string exported(const std::string& run) {
    const auto result = run_program("export " + run);
    EXPECT_EQ(result.exit_code, 0) << result.err;
    return result.out;
  }
  // Exit 2, nothing on standard output, and one line on standard error.
  void expect_input_error(const std::string& arguments, const std::string& message) {
    const auto result = run_program(arguments);
    EXPECT_EQ(result.exit_code, 2) << arguments << "\n" << result.err;
    EXPECT_THAT(result.err, HasSubstr(message)) << arguments;
    EXPECT_EQ(result.out, "");
    EXPECT_EQ(split(std::string(trim(result.err)), '\n').size(), 1u) << result.err;
  }
  testing::TemporaryFolder folder_;
};

TEST_F(Cli, ARunPrintsTheReportAndStoresIt) {
  const auto result = run_program(kSmall + "-o " + (folder_ / "r"));
  EXPECT_EQ(result.exit_code, 0) << result.err;
  EXPECT_THAT(result.out, AllOf(HasSubstr("arithmetic"), HasSubstr("pass@1"),
                                HasSubstr("cons@" + std::to_string(kN)), HasSubstr("tokens/s"),
                                HasSubstr("pass@k"), HasSubstr("in the thought")));
  const Json json = testing::load_json(folder_ / "r/results.json");
  EXPECT_EQ(json["complete"], true);
  const Json& suite = json["suites"][0];
  EXPECT_EQ(suite["samples"], 10 * kN);
  EXPECT_GT(suite["pass@1"], 0.5);
  EXPECT_LT(suite["pass@1"], 0.95);
  EXPECT_EQ(json["manifest"]["identity"]["tasks"][0]["num_samples"], kN);
  const auto report = run_program("report " + (folder_ / "r"));
  EXPECT_EQ(report.exit_code, 0);
  EXPECT_EQ(report.out, result.out);
}

TEST_F(Cli, TokensDoNotDependOnThreadsBatchInstructionSetOrMemory) {
  run_program(kSmall + "-o " + (folder_ / "reference"));
  const std::string reference = exported(folder_ / "reference");
  int count = 0;
  for (const char* flags : {"--threads 1", "--batch-size 1", "--batch-size 7", "--cpu-isa avx2",
                            "--kv-cache-gib 0.003"}) {
    if (run_program(kSmall + "--dry-run " + flags).exit_code != 0) continue;  // no such ISA here
    const std::string run = folder_ / ("r" + std::to_string(count++));
    const auto result = run_program(kSmall + flags + " -o " + run);
    EXPECT_EQ(result.exit_code, 0) << result.err;
    EXPECT_EQ(exported(run), reference) << flags;
  }
  EXPECT_GE(count, 4);
}

TEST_F(Cli, TwoHalvesAreTheWhole) {
  const std::string half = std::to_string(kN / 2);
  run_program(kSmall + "-o " + (folder_ / "whole"));
  run_program(kSmall + "-n " + half + " -o " + (folder_ / "a"));
  run_program(kSmall + "-n " + half + " --first-sample " + half + " -o " + (folder_ / "b"));
  const auto sorted = [](std::string text) {
    auto lines = split(std::string(trim(text)), '\n');
    std::sort(lines.begin(), lines.end());
    return lines;
  };
  EXPECT_EQ(sorted(exported(folder_ / "a") + exported(folder_ / "b")),
            sorted(exported(folder_ / "whole")));
}

// Starts `assay run` as a child process without a shell.
pid_t start(const std::vector<std::string>& arguments) {
  const pid_t child = fork();
  if (child != 0) return child;
  std::vector<char*> argv;
  std::vector<std::string> all = arguments;
  all.insert(all.begin(), testing::program());
  for (std::string& argument : all) argv.push_back(argument.data());
  argv.push_back(nullptr);
  const int null = open("/dev/null", O_RDWR);
  dup2(null, 1);
  dup2(null, 2);
  execv(argv[0], argv.data());
  _exit(127);
}

TEST_F(Cli, ARunKilledTwentyTimesEndsWithTheSameResult) {
  using std::chrono::steady_clock, std::chrono::microseconds, std::chrono::milliseconds;
  const auto begin = steady_clock::now();
  run_program(kSmall + "-o " + (folder_ / "reference"));
  const auto whole_us =
      std::chrono::duration_cast<microseconds>(steady_clock::now() - begin).count();
  const std::vector<std::string> arguments = {
      "run", "--model", "builtin",          "--tasks",   "arithmetic", "--limit",
      "10",  "-n",      std::to_string(kN), "--threads", "2",          "--batch-size",
      "5",   "-o",      folder_ / "killed"};
  std::mt19937 rng(4);
  int killed = 0;
  size_t last = 0, grew = 0;
  for (int i = 0; i < 20; ++i) {
    const pid_t child = start(arguments);
    // At any moment; every fourth time once it has stored something.
    for (int waits = 0; i % 4 == 0 && waits < 2000; ++waits) {
      std::this_thread::sleep_for(milliseconds(5));
      auto store = RunStore::open(folder_ / "killed", RunStore::Mode::kRead);
      if (store.ok() && store->sample_ids()->size() > last) break;
    }
    std::this_thread::sleep_for(microseconds(rng() % (i % 4 == 0 ? 10'000 : whole_us / 8)));
    kill(child, SIGKILL);
    int status = 0;
    waitpid(child, &status, 0);
    killed += WIFSIGNALED(status);
    auto store = RunStore::open(folder_ / "killed", RunStore::Mode::kRead);
    if (!store.ok()) continue;  // killed before it had a store
    const size_t there = store->sample_ids()->size();
    EXPECT_GE(there, last) << "stored samples are never lost";
    grew += there > last;
    last = there;
  }
  std::printf("killed %d times; the store grew %zu times, to %zu of %d samples\n", killed, grew,
              last, 10 * kN);
  EXPECT_GT(killed, 10);
  EXPECT_GT(grew, 2u);
  const auto result = run_program(kSmall + "--batch-size 5 -o " + (folder_ / "killed"));
  EXPECT_EQ(result.exit_code, 0) << result.err;
  EXPECT_EQ(exported(folder_ / "killed"), exported(folder_ / "reference"));
}

TEST_F(Cli, AnInterruptedRunIsIncompleteAndGoesOn) {
  const std::vector<std::string> arguments = {"run",     "--model",    "builtin",
                                              "--tasks", "arithmetic", "--batch-size",
                                              "4",       "-o",         folder_ / "r"};
  const pid_t child = start(arguments);
  for (int i = 0; i < 400; ++i) {  // until something is stored
    std::this_thread::sleep_for(std::chrono::milliseconds(25));
    auto store = RunStore::open(folder_ / "r", RunStore::Mode::kRead);
    if (store.ok() && store->sample_ids()->size() > 20) break;
  }
  kill(child, SIGINT);
  int status = 0;
  waitpid(child, &status, 0);
  ASSERT_TRUE(WIFEXITED(status));
  EXPECT_EQ(WEXITSTATUS(status), 3);
  const auto report = run_program("report " + (folder_ / "r"));
  EXPECT_EQ(report.exit_code, 3);
  EXPECT_EQ(report.out, "") << "no score for an incomplete run";
  EXPECT_THAT(report.err, AllOf(HasSubstr("are missing"), HasSubstr("arithmetic-019: 64 of 64")));
  EXPECT_FALSE(file_exists(folder_ / "r/results.json"));
}

TEST_F(Cli, TheSameFolderWithOtherArgumentsIsAnErrorThatSaysWhichDiffer) {
  const std::string run = folder_ / "r";
  run_program(kSmall + "-n 2 -o " + run);
  expect_input_error(kSmall + "-n 2 --temperature 0.7 --seed 3 -o " + run,
                     "seed: 0 there, 3 now; tasks/0/temperature: 0.6 there, 0.7 now");
  const auto again = run_program(kSmall + "-n 2 -o " + run);
  EXPECT_EQ(again.exit_code, 0);
  EXPECT_THAT(again.err, HasSubstr("goes on with 20 of 20 samples"));
}

TEST_F(Cli, ALockedRunIsAClearError) {
  run_program(kSmall + "-n 2 -o " + (folder_ / "r"));
  const auto lock = FileLock::acquire(folder_ / "r/run.lock");
  ASSERT_OK(lock);
  expect_input_error(kSmall + "-n 2 -o " + (folder_ / "r"), "another assay is writing this run");
}

TEST_F(Cli, AReplayedRunIsScoredAlike) {
  run_program(kSmall + "-n 8 -o " + (folder_ / "r"));
  const auto replay = run_program("run --model replay:" + (folder_ / "r") +
                                  " --tasks arithmetic --limit 10 -n 8 -o " + (folder_ / "again"));
  EXPECT_EQ(replay.exit_code, 0) << replay.err;
  EXPECT_EQ(exported(folder_ / "again"), exported(folder_ / "r"));
  expect_input_error("run --model replay:" + (folder_ / "r") +
                         " --tasks arithmetic --limit 11 -o " + (folder_ / "more"),
                     "the replayed run has no question arithmetic-010");
}

TEST_F(Cli, ScoreJudgesAgainWithoutTheModel) {
  run_program(kSmall + "-n 4 -o " + (folder_ / "r"));
  const std::string before = exported(folder_ / "r");
  {
    auto store = RunStore::open(folder_ / "r", RunStore::Mode::kWrite);
    ASSERT_OK(store);
    Verdict wrong;
    wrong.rule = "damaged";
    ASSERT_OK(store->update_verdict({"arithmetic", "arithmetic-000", 0}, wrong, "boxed/0"));
    ASSERT_OK(store->commit());
  }
  EXPECT_NE(exported(folder_ / "r"), before);
  const auto scored = run_program("score " + (folder_ / "r"));
  EXPECT_EQ(scored.exit_code, 0);
  EXPECT_THAT(scored.err, HasSubstr("scored 40 samples again; 1 verdicts changed"));
  EXPECT_EQ(exported(folder_ / "r"), before);
}

TEST_F(Cli, ExportGivesOneJsonLineASample) {
  run_program(kSmall + "-n 2 -o " + (folder_ / "r"));
  const auto lines = split(std::string(trim(exported(folder_ / "r"))), '\n');
  ASSERT_EQ(lines.size(), 20u);
  const Json line = Json::parse(lines[3]);
  EXPECT_EQ(line["item_id"], "arithmetic-001");
  EXPECT_EQ(line["sample_index"], 1);
  for (const char* key :
       {"token_ids", "text", "verdict", "logprob", "gold", "rule", "finish_reason"}) {
    EXPECT_TRUE(line.contains(key)) << key;
  }
}

TEST_F(Cli, AConfigFileHoldsAnyFlagAndTheCommandLineWins) {
  ASSERT_OK(
      write_file_atomically(folder_ / "c.json", R"({"model": "builtin", "tasks": ["arithmetic:3"],
      "limit": 4, "top_p": 0.9, "max-tokens": 40, "stop": ["zzz", "yyy"]})"));
  const auto other = run_program("run --config " + (folder_ / "c.json") +
                                 " --tasks aime24 --dry-run --data " + (folder_ / "none"));
  EXPECT_THAT(other.err, AllOf(HasSubstr("aime24"), Not(HasSubstr("arithmetic"))));
  const auto result =
      run_program("run --config " + (folder_ / "c.json") + " --limit 2 -o " + (folder_ / "r"));
  EXPECT_EQ(result.exit_code, 0) << result.err;
  const Json task =
      testing::load_json(folder_ / "r/results.json")["manifest"]["identity"]["tasks"][0];
  EXPECT_EQ(task["questions"], 2);
  EXPECT_EQ(task["num_samples"], 3);
  EXPECT_EQ(task["top_p"], 0.9);
  EXPECT_EQ(task["max_tokens"], 40);
  EXPECT_EQ(task["stop"].size(), 2u);
  ASSERT_OK(write_file_atomically(folder_ / "bad.json", R"({"temprature": 1})"));
  expect_input_error("run --config " + (folder_ / "bad.json"), "did you mean \"temperature\"?");
  ASSERT_OK(write_file_atomically(folder_ / "bad.json", "{"));
  expect_input_error("run --config " + (folder_ / "bad.json"), "not valid JSON");
}

TEST_F(Cli, ADryRunShowsThePromptAndWritesNothing) {
  const auto result =
      run_program("run --model builtin --tasks arithmetic --dry-run -o " + (folder_ / "r"));
  EXPECT_EQ(result.exit_code, 0) << result.err;
  EXPECT_THAT(result.out, AllOf(HasSubstr("100 questions × 64 samples = 6,400 samples"),
                                HasSubstr("<|im_start|>user\nWhat is 513 - 77?"),
                                HasSubstr("<think>\n"), HasSubstr("tokens/s")));
  EXPECT_FALSE(is_directory(folder_ / "r"));
}

TEST_F(Cli, WrongArgumentsAreOneLineAndExitTwo) {
  const std::string out = " -o " + (folder_ / "r");
  expect_input_error("run --tasks arithmetic" + out, "--model");
  expect_input_error("run --model builtin" + out, "--tasks");
  expect_input_error("run --model builtin --tasks arithmetic --num-samples 0" + out,
                     "--num-samples 0");
  expect_input_error("run --model builtin --tasks arithmetic:0" + out, "arithmetic:0");
  expect_input_error("run --model builtin --tasks arithmetc" + out, "did you mean \"arithmetic\"?");
  expect_input_error("run --model builtin --tasks arithmetic,arithmetic" + out, "stands twice");
  expect_input_error("run --model builtin --tasks arithmetic --temperature -1" + out,
                     "--temperature");
  expect_input_error("run --model builtin --tasks arithmetic --top-p 0" + out, "--top-p 0");
  expect_input_error("run --model builtin --tasks arithmetic --min-p 1" + out, "--min-p 1");
  expect_input_error("run --model builtin --tasks arithmetic --max-tokens 0" + out,
                     "--max-tokens 0");
  expect_input_error("run --model builtin --tasks arithmetic --limit 0" + out, "--limit 0");
  expect_input_error("run --model builtin --tasks arithmetic --batch-size 0" + out,
                     "--batch-size 0");
  expect_input_error("run --model builtin --tasks arithmetic --cpu-isa mmx" + out,
                     "this machine has");
  expect_input_error("run --model /nonexistent --tasks arithmetic" + out, "no such file or folder");
  expect_input_error("run --model builtin --tasks math500 --data /nonexistent" + out,
                     "--data DIR or ASSAY_DATA");
  expect_input_error("run --model http://127.0.0.1:1/v1#m --tasks arithmetic" + out,
                     "is the server running?");
  expect_input_error("report /nonexistent", "holds no run");
  expect_input_error("score /nonexistent", "holds no run");
  expect_input_error("export /nonexistent", "holds no run");
  EXPECT_FALSE(is_directory(folder_ / "r"));
}

TEST_F(Cli, UsageErrorsExitTwoAndHelpHasExamples) {
  EXPECT_EQ(run_program("").exit_code, 2);
  EXPECT_EQ(run_program("run --nonsense 3").exit_code, 2);
  EXPECT_EQ(run_program("run --num-samples many").exit_code, 2);
  const auto help = run_program("run --help");
  EXPECT_EQ(help.exit_code, 0);
  EXPECT_THAT(help.out,
              AllOf(HasSubstr("Examples:"), HasSubstr("--repeats"), HasSubstr("--output_path"),
                    HasSubstr("assay run --model builtin --tasks arithmetic")));
  EXPECT_THAT(run_program("--version").out, HasSubstr("assay 0."));
}

TEST_F(Cli, AFolderThatCannotBeWrittenIsAClearError) {
  ASSERT_OK(write_file_atomically(folder_ / "file", "x"));
  expect_input_error(kSmall + "-o " + (folder_ / "file/run"), "cannot create the folder");
  expect_input_error(kSmall + "-o /proc/assay-run", "cannot create the folder");
}

// Only root can make a file system read-only; elsewhere a folder without write permission will do.
TEST_F(Cli, ARunOnAReadOnlyFolderCanStillBeRead) {
  run_program(kSmall + "-n 2 -o " + (folder_ / "r"));
  const std::string before = exported(folder_ / "r");
  const std::string mounted = folder_ / "m";
  ASSERT_OK(create_directories(mounted));
  if (std::system(("mount --bind '" + (folder_ / "r") + "' '" + mounted +
                   "' 2>/dev/null && mount -o remount,bind,ro '" + mounted + "' 2>/dev/null")
                      .c_str()) != 0) {
    GTEST_SKIP() << "needs the right to mount";
  }
  EXPECT_EQ(exported(mounted), before);
  const auto report = run_program("report " + mounted);
  EXPECT_EQ(report.exit_code, 0) << report.err;
  EXPECT_THAT(report.out, HasSubstr("arithmetic"));
  expect_input_error(kSmall + "-n 2 -o " + mounted, "Read-only file system");
  EXPECT_EQ(std::system(("umount '" + mounted + "'").c_str()), 0);
}

TEST_F(Cli, AFullDiskEndsCleanlyAndTheRunGoesOnLater) {
  // A limit on the size of files stands for a full disk: writes fail in the same places.
  const std::string run = folder_ / "r";
  const std::string command = "bash -c 'ulimit -f 90; exec \"$0\" \"$@\"' ";
  const auto limited = run_program(kSmall + "-o " + run, command);
  EXPECT_EQ(limited.exit_code, 2) << limited.err;
  EXPECT_THAT(limited.err, HasSubstr("free some space and run the same command again"));
  EXPECT_EQ(limited.out, "");
  EXPECT_FALSE(file_exists(run + "/results.json"));
  const auto resumed = run_program(kSmall + "-o " + run);
  EXPECT_EQ(resumed.exit_code, 0) << resumed.err;
  run_program(kSmall + "-o " + (folder_ / "reference"));
  EXPECT_EQ(exported(run), exported(folder_ / "reference"));
}

TEST_F(Cli, ListsItsSuitesQuickly) {
  double best_s = 1e9;
  for (int i = 0; i < 5; ++i) {
    const double started_s = monotonic_s();
    const auto result = run_program("suites");
    best_s = std::min(best_s, monotonic_s() - started_s);
    EXPECT_EQ(result.exit_code, 0);
    EXPECT_THAT(result.out,
                AllOf(HasSubstr("math500"), HasSubstr("aime24"), HasSubstr("arithmetic")));
  }
  std::printf("assay suites: %.0f ms with the shell\n", 1000 * best_s);
  if (testing::kOptimized) {
    EXPECT_LT(best_s, 0.05);
  }
}

TEST_F(Cli, TheReplayEngineScoresAndStoresThirtyTwoThousandSamplesInFiveSeconds) {
  constexpr int kSamples = testing::kOptimized ? 320 : 10;  // of 100 questions
  run_program("run --model builtin --tasks arithmetic -n 1 -o " + (folder_ / "seed"));
  {
    auto seed = RunStore::open(folder_ / "seed", RunStore::Mode::kRead);
    ASSERT_OK(seed);
    auto store = RunStore::open(folder_ / "recorded", RunStore::Mode::kWrite);
    ASSERT_OK(store);
    ASSERT_OK(store->set_manifest(**seed->manifest()));
    const auto items = seed->items();
    ASSERT_OK(items);
    ASSERT_OK(store->add_items(*items));
    std::mt19937 rng(1);
    for (const StoredItem& stored : *items) {
      for (int s = 0; s < kSamples; ++s) {
        SampleRecord record;
        record.completion.id = {"arithmetic", stored.item.id, s};
        record.completion.finish_reason = FinishReason::kStop;
        std::string& text = record.completion.text;
        for (int word = 0; word < 250; ++word) {  // 1.5 kB, as a short chain of thought is
          record.completion.token_ids.push_back(static_cast<int32_t>(rng() % 50000));
          text += "word" + std::to_string(rng() % 97) + " ";
        }
        text += "\\boxed{" + (s % 3 == 0 ? "7" : stored.item.gold) + "}";
        ASSERT_OK(store->insert(RunStore::encode(std::move(record))));
      }
    }
    ASSERT_OK(store->commit());
  }
  const double started_s = monotonic_s();
  const auto result =
      run_program("run --model replay:" + (folder_ / "recorded") + " --tasks arithmetic -n " +
                  std::to_string(kSamples) + " -o " + (folder_ / "r"));
  const double elapsed_s = monotonic_s() - started_s;
  EXPECT_EQ(result.exit_code, 0) << result.err;
  const Json suite = testing::load_json(folder_ / "r/results.json")["suites"][0];
  EXPECT_EQ(suite["samples"], 100 * kSamples);
  std::printf("%d samples replayed, scored, stored and reported in %.2f s\n", 100 * kSamples,
              elapsed_s);
  if (testing::kOptimized) {
    EXPECT_LT(elapsed_s, 5);
  }
}

TEST_F(Cli, MathSuitesRunOnTheSampleData) {
  const std::string samples = testing::tests_path("../datasets/samples");
  const auto result = run_program(
      "run --model builtin --tasks math500:2,aime24:2,aime25:2 --max-tokens 48 "
      "--data " +
      samples + " -o " + (folder_ / "r"));
  EXPECT_EQ(result.exit_code, 0) << result.err;
  EXPECT_THAT(result.out, AllOf(HasSubstr("math500"), HasSubstr("aime24"), HasSubstr("aime25"),
                                HasSubstr("on sample data")));
}

}  // namespace
}  // namespace assay
