// The threads of the CPU device.
#include "engine/cpu/team.h"

#include <gtest/gtest.h>

#include <chrono>
#include <new>

namespace assay {
namespace {

TEST(Team, RunsEveryIndexOnceForAnyNumberOfThreads) {
  for (const int threads : {1, 2, 5}) {
    Team team(threads);
    for (const int count : {0, 1, 2, 7, 1000}) {
      std::vector<std::atomic<int>> runs(static_cast<size_t>(count));
      team.for_each(count, [&](int64_t i) { ++runs[static_cast<size_t>(i)]; });
      team.for_each_row(count, [&](int64_t i) { ++runs[static_cast<size_t>(i)]; });
      for (const auto& run : runs) EXPECT_EQ(run, 2);
    }
  }
}

TEST(Team, GivesAThreadTheSameRowsEachTime) {
  Team team(3);
  std::vector<std::thread::id> owners(10), again(10);
  team.for_each_row(
      10, [&](int64_t i) { owners[static_cast<size_t>(i)] = std::this_thread::get_id(); });
  team.for_each_row(10,
                    [&](int64_t i) { again[static_cast<size_t>(i)] = std::this_thread::get_id(); });
  EXPECT_EQ(owners, again);
  EXPECT_NE(owners.front(), owners.back());
}

TEST(Team, TakesWhatAThreadThatIsHeldUpHasLeft) {
  for (const int64_t held_up : {0, 50}) {
    Team team(2);
    std::atomic<int> others{0};
    team.for_each(100, [&](int64_t i) {
      if (i != held_up) {
        ++others;
        return;
      }
      while (others < 99) std::this_thread::yield();
    });
    EXPECT_EQ(others, 99);
  }
}

TEST(Team, WorksAgainAfterItsThreadsHaveGoneToSleep) {
  Team team(3);
  std::atomic<int> sum{0};
  for (int round = 0; round < 3; ++round) {
    std::this_thread::sleep_for(std::chrono::milliseconds(20));
    team.for_each(100, [&](int64_t i) { sum += static_cast<int>(i); });
  }
  EXPECT_EQ(sum, 3 * 4950);
}

TEST(Team, WhatABodyThrowsReachesTheCallerAndTheTeamGoesOn) {
  Team team(3);
  const auto fail = [](int64_t i) {
    if (i % 10 == 3) throw std::bad_alloc();
  };
  EXPECT_THROW(team.for_each(100, fail), std::bad_alloc);
  std::atomic<int> runs{0};
  team.for_each(50, [&](int64_t) { ++runs; });
  EXPECT_EQ(runs, 50);
}

}  // namespace
}  // namespace assay
