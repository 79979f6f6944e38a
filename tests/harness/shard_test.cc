// A run in shards gives the bytes that one machine gives.
#include "harness/shard.h"

#include <gmock/gmock.h>

#include <cstdlib>
#include <filesystem>

#include "harness/base/file.h"
#include "tests/support.h"

namespace assay {
namespace {

using ::testing::HasSubstr;

TEST(Shards, EverySampleIsInExactlyOneAndTheyAreAlike) {
  constexpr int kCount = 7;
  std::vector<int> sizes(kCount, 0);
  for (int question = 0; question < 100; ++question) {
    for (int sample = 0; sample < 64; ++sample) {
      int holders = 0;
      for (int index = 1; index <= kCount; ++index) {
        const SampleId id{"s", "q" + std::to_string(question), sample};
        const SampleId second{"s", id.item_id + "#2", sample};
        const Shard shard{index, kCount};
        EXPECT_EQ(in_shard(id, shard), in_shard(second, shard));
        holders += in_shard(id, shard) ? 1 : 0;
        sizes[static_cast<size_t>(index - 1)] += in_shard(id, shard) ? 1 : 0;
      }
      ASSERT_EQ(holders, 1);
    }
  }
  for (const int size : sizes) EXPECT_NEAR(size, 6400 / kCount, 120);
}

TEST(Shards, AreTakenFromTheFlagOrTheScheduler) {
  const auto text_of = [](const std::string& flag) {
    const auto shard = parse_shard(flag);
    return !shard.ok() ? "error" : *shard ? (*shard)->text() : "none";
  };
  EXPECT_EQ(text_of("3/16"), "3/16");
  EXPECT_EQ(text_of("none"), "none");
  EXPECT_EQ(text_of("auto"), "none");
  for (const char* wrong : {"0/4", "5/4", "1", "/", "a/b", "1/0", "-1/4", "1/4x"}) {
    EXPECT_EQ(text_of(wrong), "error") << wrong;
  }
  struct Case {
    std::vector<std::pair<const char*, const char*>> variables;
    const char* shard;
  };
  for (const Case& c : {Case{{{"SLURM_PROCID", "2"}, {"SLURM_NTASKS", "8"}}, "3/8"},
                        Case{{{"SLURM_ARRAY_TASK_ID", "11"},
                              {"SLURM_ARRAY_TASK_MIN", "10"},
                              {"SLURM_ARRAY_TASK_COUNT", "4"},
                              {"SLURM_PROCID", "0"},
                              {"SLURM_NTASKS", "1"}},
                             "2/4"},
                        Case{{{"OMPI_COMM_WORLD_RANK", "0"}, {"OMPI_COMM_WORLD_SIZE", "2"}}, "1/2"},
                        Case{{{"JOB_COMPLETION_INDEX", "4"}, {"JOB_COMPLETIONS", "5"}}, "5/5"},
                        Case{{{"SLURM_PROCID", "0"}, {"SLURM_NTASKS", "1"}}, "none"}}) {
    for (const auto& [name, value] : c.variables) setenv(name, value, 1);
    EXPECT_EQ(text_of("auto"), c.shard);
    for (const auto& [name, value] : c.variables) unsetenv(name);
  }
  EXPECT_EQ((Shard{3, 16}).folder("r"), "r/shard-03-of-16");
}

class Merge : public ::testing::Test {
 protected:
  static constexpr const char* kRun = "run --model builtin --tasks arithmetic:6 --limit 20 -o ";
  testing::ProgramResult shard(int index, const std::string& flags = "") {
    return testing::run_program(kRun + (folder_ / "r") + " --shard " + std::to_string(index) +
                                "/10" + flags);
  }
  std::string exported(const std::string& name) {
    return testing::run_program("export " + (folder_ / name)).out;
  }
  testing::TemporaryFolder folder_;
};

TEST_F(Merge, ShardsInAnyOrderGiveTheBytesOfOneMachine) {
  ASSERT_EQ(testing::run_program(kRun + (folder_ / "one")).exit_code, 0);
  for (const int index : {7, 2, 10, 4, 1, 9, 3, 8, 5}) ASSERT_EQ(shard(index).exit_code, 0);
  // Two die on the way and are run again; one is there twice.
  for (const int index : {4, 9}) {
    const std::string path = (Shard{index, 10}).folder(folder_ / "r");
    std::filesystem::remove_all(path);
    EXPECT_NE(
        testing::run_program(kRun + (folder_ / "r") + " --shard " + std::to_string(index) + "/10",
                             "timeout -s KILL 0.02")
            .exit_code,
        0);
    ASSERT_EQ(shard(index).exit_code, 0);
  }
  const std::string three = (Shard{3, 10}).folder(folder_ / "r");
  std::filesystem::copy(three, folder_ / "copy", std::filesystem::copy_options::recursive);
  const std::string merge =
      "merge " + (folder_ / "m") + " " + (folder_ / "copy") + " " + (folder_ / "r") + "/shard-*";
  const auto incomplete = testing::run_program(merge);
  EXPECT_EQ(incomplete.exit_code, 3);
  EXPECT_THAT(incomplete.err, HasSubstr("in more than one, the same there"));
  EXPECT_THAT(incomplete.err, HasSubstr("samples missing"));
  ASSERT_EQ(shard(6).exit_code, 0);
  const auto merged = testing::run_program(merge);
  EXPECT_EQ(merged.exit_code, 0) << merged.err;
  EXPECT_EQ(exported("m"), exported("one"));
  // The same command as for one machine finds nothing left to do.
  const auto again = testing::run_program(kRun + (folder_ / "m"));
  EXPECT_EQ(again.exit_code, 0) << again.err;
  EXPECT_EQ(exported("m"), exported("one"));
}

TEST_F(Merge, WhatIsOfAnotherRunIsRefused) {
  ASSERT_EQ(shard(1).exit_code, 0);
  ASSERT_EQ(
      testing::run_program("run --model builtin --tasks arithmetic:6 --limit 20 --seed 5 -o " +
                           (folder_ / "other"))
          .exit_code,
      0);
  const auto refused = testing::run_program("merge " + (folder_ / "m") + " " + (folder_ / "r") +
                                            "/shard-* " + (folder_ / "other"));
  EXPECT_EQ(refused.exit_code, 2);
  EXPECT_THAT(refused.err, HasSubstr("another run"));
  EXPECT_THAT(refused.err, HasSubstr("seed"));
  EXPECT_EQ(
      testing::run_program("merge " + (folder_ / "m") + " " + (folder_ / "nothing")).exit_code, 2);
}

// A real Slurm with three nodes on this machine: ten shards, two of them killed on the way, one run
// twice, and the merging as a job that waits for them; then one job with a task a shard.
TEST(Slurm, TenShardsOfWhichTwoWereKilledMergeToTheSingleRun) {
  if (!testing::kOptimized) GTEST_SKIP() << "as slow as the build, and about processes, not memory";
  const std::string there =
      "for p in slurmctld slurmd munged sbatch; do command -v $p > /dev/null || exit 1; done";
  if (std::system(there.c_str()) != 0) {
    GTEST_SKIP() << "needs Slurm: run scripts/packages --slurm";
  }
  const testing::TemporaryFolder folder;
  ASSERT_TRUE(std::filesystem::create_directory(folder / "work"));
  const std::string command = "python3 '" + testing::tests_path("harness/slurm_cluster.py") +
                              "' '" + (folder / "cluster") + "' '" +
                              testing::tests_path("harness/slurm_shards.sh") + "' '" +
                              testing::program() + "' '" + testing::tests_path("../scripts") +
                              "' '" + (folder / "work") + "' > '" + (folder / "out") + "' 2>&1";
  const int status = std::system(command.c_str());
  if (WEXITSTATUS(status) == 77) GTEST_SKIP() << "Slurm's daemons make no cluster here";
  const auto out = read_file(folder / "out");
  ASSERT_EQ(WEXITSTATUS(status), 0) << *out;
  EXPECT_THAT(*out, HasSubstr("shard 8: "));
  EXPECT_TRUE(out->ends_with("\n200\n")) << *out;
}

}  // namespace
}  // namespace assay
