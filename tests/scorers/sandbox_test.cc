#include "scorers/code/sandbox.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include <atomic>
#include <filesystem>
#include <fstream>
#include <set>
#include <thread>

#include "harness/base/file.h"
#include "scorers/code/jail_group.h"
#include "tests/scorers/sandbox_fixture.h"
#include "tests/support.h"

namespace assay {
namespace {

using ::testing::HasSubstr;

// Processes of jails that the machine has: keepers and what is inside.
std::set<pid_t> jail_pids() {
  std::set<pid_t> pids;
  for (const auto& entry : std::filesystem::directory_iterator("/proc")) {
    const std::string name = entry.path().filename();
    if (name.find_first_not_of("0123456789") != std::string::npos) continue;
    // A process may end while it is looked at.
    char text[4096];
    FILE* file = std::fopen((entry.path() / "cmdline").c_str(), "r");
    if (file == nullptr) continue;
    const std::string line(text, std::fread(text, 1, sizeof text, file));
    std::fclose(file);
    if (line.find("zygote.py") != std::string::npos) pids.insert(std::stoi(name));
  }
  return pids;
}

int jail_processes() { return static_cast<int>(jail_pids().size()); }

int lines_of(const char* path) {
  std::ifstream file(path);
  return static_cast<int>(std::count(std::istreambuf_iterator<char>(file), {}, '\n'));
}

int open_descriptors() {
  int count = 0;
  for (const auto& entry : std::filesystem::directory_iterator("/proc/self/fd")) {
    (void)entry;
    ++count;
  }
  return count;
}

void expect_what_became_of_programs(Confinement confinement) {
  const auto sandbox = Sandbox::start(1, confinement);
  ASSERT_OK(sandbox);
  const ProgramLimits limits{
      .cpu_s = 1, .wall_s = 2, .memory_bytes = 512 << 20, .output_bytes = 1 << 20};
  for (const Json& row : testing::load_jsonl(testing::tests_path("cases/programs.jsonl"))) {
    const std::string source = row["source"].get<std::string>();
    ProgramOutcome outcome;
    if (row.contains("test")) {
      outcome = (*sandbox)->check(
          "assertions", source, "f",
          Json{{"prompt", "def f(x):\n    pass\n"}, {"test", row["test"]}}.dump(), limits);
    } else {
      const std::string input = row.contains("input_times")
                                    ? std::string(row["input_times"].get<size_t>(), 'x')
                                    : row.value("input", std::string());
      outcome = (*sandbox)->run(source, input, limits);
    }
    // A bare jail's programs may not signal even themselves.
    const char* expected =
        confinement == Confinement::kBare && row.contains("bare") ? "bare" : "status";
    EXPECT_EQ(outcome.status, row[expected].get<std::string>()) << row << "\n" << outcome.detail;
    EXPECT_TRUE(!row.contains("output") || outcome.output == row["output"].get<std::string>())
        << row << "\n"
        << outcome.output.substr(0, 200);
  }
}

TEST(Sandbox, WhatBecomesOfAProgramIsSaid) {
  ASSAY_NEED_SANDBOX();
  expect_what_became_of_programs(Confinement::kJail);
}

TEST(Sandbox, AProgramFindsNothingOfTheOneBefore) {
  ASSAY_NEED_SANDBOX();
  const auto sandbox = Sandbox::start(1);
  ASSERT_OK(sandbox);
  const std::string look =
      "import os\nprint(sorted(os.listdir('/work')), oct(os.stat('/work').st_mode & 0o7777),\n"
      "      sum(os.statvfs('/work')[i] for i in (2, 3, 4, 5, 6, 7)))";
  const std::string clean = (*sandbox)->run(look, "", ProgramLimits()).output;
  EXPECT_THAT(clean, HasSubstr("[] 0o755"));
  for (const char* leave :
       {"pass", "open('f', 'w')", "open('f', 'w').write('x' * 100000)", "os.mkdir('d')",
        "os.symlink('/usr', 'l')", "os.chmod('/work', 0o777)", "os.chmod('/work', 0)",
        "open('f', 'w').write('x' * 100000); os.unlink('f')",
        "f = open('f', 'w'); os.unlink('f'); f.write('x' * 100000); os.fork()", "os.mkfifo('p')",
        "os.rename('/work', '/other')"}) {
    (void)(*sandbox)->run(std::string("import os\n") + leave, "", ProgramLimits());
    EXPECT_EQ((*sandbox)->run(look, "", ProgramLimits()).output, clean) << leave;
  }
}

int bare_folders() {
  int count = 0;
  const char* temporary = std::getenv("TMPDIR");
  for (const auto& entry :
       std::filesystem::directory_iterator(temporary != nullptr ? temporary : "/tmp")) {
    count += entry.path().filename().string().starts_with("assay-programs-") ? 1 : 0;
  }
  return count;
}

TEST(Sandbox, WithoutNamespacesItIsTheSameAndNothingIsLeft) {
  ASSAY_NEED_SANDBOX();
  const int folders = bare_folders(), processes = jail_processes();
  const std::set<pid_t> others = jail_pids();
  expect_what_became_of_programs(Confinement::kBare);
  {
    const auto sandbox = Sandbox::start(1, Confinement::kBare);
    ASSERT_OK(sandbox);
    // A folder that nobody may look into, and a process that goes its own way.
    const std::string leaver =
        "import os, time\nos.makedirs('a/b')\nopen('a/b/c', 'w').write('x')\nos.chmod('a/b', 0)\n"
        "os.chmod('a', 0)\nif os.fork() == 0:\n    os.setsid()\n    if os.fork() == 0:\n"
        "        time.sleep(60)\n    os._exit(0)\nprint('done')";
    EXPECT_EQ((*sandbox)->run(leaver, "", ProgramLimits()).output, "done\n");
    EXPECT_EQ(jail_processes(), processes + 2);
    EXPECT_EQ((*sandbox)->run("import os\nprint(os.listdir('.'))", "", ProgramLimits()).output,
              "[]\n");
    EXPECT_EQ((*sandbox)->run("import os\nos.kill(os.getppid(), 9)", "", ProgramLimits()).status,
              "exception");
    // Each ends while its successor begins; and a process that lives on without its first thread.
    const std::string runner =
        "import os, time\nprint('done', flush=True)\nfor _ in range(9):\n    if os.fork() != 0: "
        "os._exit(0)\ntime.sleep(60)";
    const std::string headless =
        "import ctypes, os, threading, time\nprint('done', flush=True)\nif os.fork() == 0:\n"
        "    threading.Thread(target=time.sleep, args=(60,)).start()\n"
        "    ctypes.CDLL(None).syscall(60, 0)\ntime.sleep(0.05)\nos._exit(0)";
    for (int round = 0; round < 200; ++round) {
      const auto outcome = (*sandbox)->run(round % 50 == 0 ? headless : runner, "", {});
      ASSERT_EQ(outcome.output, "done\n") << outcome.status << outcome.detail;
      ASSERT_EQ(jail_processes(), processes + 2) << round;
    }
    // Not even a zygote that hangs.
    for (const pid_t pid : jail_pids()) {
      std::string name;
      std::ifstream("/proc/" + std::to_string(pid) + "/comm") >> name;
      if (!others.contains(pid) && name.starts_with("python")) kill(pid, SIGSTOP);
    }
  }
  EXPECT_EQ(jail_processes(), processes);
  EXPECT_EQ(bare_folders(), folders);
}

TEST(Sandbox, AMachineThatForbidsNamespacesRefusesUnlessToldTwice) {
  const std::string forbid =
      std::string(geteuid() == 0 ? "setpriv --reuid 65534 --regid 65534 --clear-groups " : "") +
      "unshare -Ur sh -c 'echo 0 > /proc/sys/user/max_user_namespaces && exec \"$@\"' sh";
  if (testing::run_program("--version", forbid).exit_code != 0) {
    GTEST_SKIP() << "unshare cannot make such a machine here";
  }
  const testing::TemporaryFolder folder;
  ASSERT_OK(write_file_atomically(folder / "p.py", "print(1 + 1)"));
  std::filesystem::permissions(folder.path(), std::filesystem::perms(0755));
  std::filesystem::permissions(folder / "p.py", std::filesystem::perms(0644));
  const std::string run = "sandbox run " + (folder / "p.py");
  EXPECT_THAT(testing::run_program(run, forbid).err, HasSubstr("user namespaces are forbidden"));
  const auto once = testing::run_program(run + " --sandbox none", forbid);
  EXPECT_EQ(once.exit_code, 2);
  EXPECT_THAT(once.err, HasSubstr("say --i-understand-this-runs-model-code too"));
  const auto twice =
      testing::run_program(run + " --sandbox none --i-understand-this-runs-model-code", forbid);
  EXPECT_EQ(twice.exit_code, 0) << twice.err;
  EXPECT_EQ(twice.out, "2\n");
}

// All that a program starts shares its CPU time; each process alone would have had it whole.
TEST(Sandbox, CpuTimeIsThatOfAllProcessesTogether) {
  ASSAY_NEED_SANDBOX();
  const auto sandbox = Sandbox::start(1);
  ASSERT_OK(sandbox);
  const std::string source =
      "import os, time\nfor _ in range(4):\n    if os.fork() == 0:\n        end = "
      "time.process_time() "
      "+ 0.8\n        while time.process_time() < end: pass\n        os._exit(0)\n"
      "for _ in range(4): os.wait()\nprint('done')";
  const auto outcome = (*sandbox)->run(source, "", {.cpu_s = 1, .wall_s = 20});
  EXPECT_EQ(outcome.status, "cpu") << outcome.detail;
  EXPECT_GT(outcome.cpu_s, 3);
}

int jail_groups() {
  const GroupFolders own = JailGroup::own_folders();
  int count = 0;
  for (const std::string& folder : {own.unified, own.memory, own.pids}) {
    std::error_code code;
    for (const auto& entry : std::filesystem::directory_iterator(folder, code)) {
      count += entry.path().filename().string().starts_with("assay-jail-") ? 1 : 0;
    }
  }
  return count;
}

// Each process keeps to its limit, all together do not.
TEST(Sandbox, MemoryIsThatOfAllProcessesTogetherWhereThereAreControlGroups) {
  ASSAY_NEED_SANDBOX();
  const std::string source =
      "import os, time\nfor _ in range(20):\n    if os.fork() == 0:\n"
      "        held = bytearray(100 << 20)\n        for i in range(0, len(held), 4096): held[i] = "
      "1\n"
      "        time.sleep(1)\n        os._exit(0)\n"
      "worst = 0\nfor _ in range(20): worst = max(worst, os.wait()[1])\n"
      "print('all held')\nif worst: raise SystemExit(3)";
  const ProgramLimits limits{.cpu_s = 5, .wall_s = 20, .memory_bytes = 256 << 20};
  const int groups = jail_groups();
  for (const Confinement confinement : {Confinement::kJail, Confinement::kBare}) {
    const auto sandbox = Sandbox::start(1, confinement);
    ASSERT_OK(sandbox);
    if (!(*sandbox)->limits_memory_of_all()) GTEST_SKIP() << "no control groups can be made here";
    EXPECT_EQ((*sandbox)->run(source, "", limits).status, "memory");
    EXPECT_EQ((*sandbox)->run("print(1)", "", limits).output, "1\n");
  }
  EXPECT_EQ(jail_groups(), groups);
}

TEST(JailGroup, IsMadeWhereThisProcessIs) {
  const auto first = parse_group_folders(
      "9:name=systemd:/\n4:cpu,memory:/box/7\n3:pids:/\n0::/\n",
      "35 31 0:32 / /sys/fs/cgroup/memory rw - cgroup cgroup rw,cpu,memory\n"
      "39 31 0:36 / /sys/fs/cgroup/pids rw,relatime shared:1 - cgroup cgroup rw,pids\n");
  EXPECT_EQ(first.memory, "/sys/fs/cgroup/memory/box/7");
  EXPECT_EQ(first.pids, "/sys/fs/cgroup/pids");
  EXPECT_EQ(first.unified, "");
  const auto second = parse_group_folders(
      "0::/user.slice/user-1000.slice/run.scope\n",
      "30 23 0:26 / /sys/fs/cgroup rw,nosuid shared:9 - cgroup2 cgroup2 rw,nsdelegate\n");
  EXPECT_EQ(second.unified, "/sys/fs/cgroup/user.slice/user-1000.slice/run.scope");
  EXPECT_EQ(second.memory + second.pids, "");
  const auto container = parse_group_folders(
      "0::/docker/abc/x\n", "30 23 0:26 /docker/abc /sys/fs/cgroup rw - cgroup2 cgroup rw\n");
  EXPECT_EQ(container.unified, "/sys/fs/cgroup/x");
  for (const char* nonsense : {"", ":", "0::", "x:y", "4:memory:/\n"}) {
    EXPECT_EQ(parse_group_folders(nonsense, "1 - cgroup\n - cgroup2 x y\n").memory, "");
  }
}

// 132 programs that try to get out, to reach others, to take too much or to stay. From outside: the
// host's processes, mounts and descriptors are what they were, and no file has come.
TEST(Sandbox, EveryAttackIsContained) {
  ASSAY_NEED_SANDBOX();
  const auto attacks = testing::load_jsonl(testing::tests_path("../scorers/code/attacks.jsonl"));
  ASSERT_GE(attacks.size(), 80u);
  const testing::TemporaryFolder folder;
  const int mounts = lines_of("/proc/self/mounts");
  const int before = jail_processes();
  {
    const auto sandbox = Sandbox::start(2);
    ASSERT_OK(sandbox);
    const int descriptors = open_descriptors();
    std::atomic<size_t> next{0};
    const auto work = [&] {
      for (size_t i = next++; i < attacks.size(); i = next++) {
        const ProgramLimits limits{
            .cpu_s = 1, .wall_s = 1.5, .memory_bytes = 512 << 20, .output_bytes = 1 << 20};
        const auto outcome = (*sandbox)->run(attacks[i]["source"].get<std::string>(), "", limits);
        EXPECT_NE(outcome.status, "unscored") << attacks[i]["name"] << outcome.detail;
        EXPECT_EQ(outcome.output.find("ESCAPED"), std::string::npos)
            << attacks[i]["name"] << ": " << outcome.output.substr(0, 300);
      }
    };
    std::thread other(work);
    work();
    other.join();
    EXPECT_EQ(lines_of("/proc/self/mounts"), mounts);
    // At most the second jail's two pipes have come.
    EXPECT_LE(open_descriptors(), descriptors + 8);
  }
  EXPECT_EQ(jail_processes(), before);
}

TEST(Sandbox, EveryAttackIsContainedForAnOrdinaryUserToo) {
  ASSAY_NEED_SANDBOX();
  const std::string user = "setpriv --reuid 65534 --regid 65534 --clear-groups ";
  if (geteuid() != 0) GTEST_SKIP() << "the user is an ordinary one";
  if (testing::run_program("--version", user).exit_code != 0) {
    GTEST_SKIP() << "an ordinary user cannot start the program where it lies";
  }
  const auto check = testing::run_program("sandbox check", user);
  if (check.err.find("forbidden on this machine") != std::string::npos) GTEST_SKIP() << check.err;
  EXPECT_EQ(check.exit_code, 0) << check.out << check.err;
  EXPECT_THAT(check.out, HasSubstr("132 of 132 attacks contained"));
}

// Nothing of an earlier request's tests is in the memory of a later program.
TEST(Sandbox, ExpectedValuesNeverEnterAProgramsProcess) {
  ASSAY_NEED_SANDBOX();
  const auto sandbox = Sandbox::start(1);
  ASSERT_OK(sandbox);
  const std::string test =
      "def check(candidate):\n    assert candidate(1) == 'SECRET-' + 'EXPECTED-VALUE'\n"
      "# marker: QX7-MARKER-QX7\n";
  const std::string part = Json{{"prompt", ""}, {"test", test}}.dump();
  // Walks all of its own memory, by the addresses that reading does not fail at.
  const std::string spy = R"(
import ctypes, os
# The marker backwards, so that it is not what is found.
begin, end = b'-7XQ', b'REKRAM'
found = []
def look(text):
    at = text.find(begin[::-1])
    while at >= 0:
        if text[at + 4:at + 10][::-1] == end: found.append(at)
        at = text.find(begin[::-1], at + 1)
# A pipe tells, by EFAULT, whether an address can be read.
r, w = os.pipe()
libc = ctypes.CDLL(None, use_errno=True)
libc.write.argtypes = [ctypes.c_int, ctypes.c_void_p, ctypes.c_size_t]
pages = 0
def sweep(base, size):
    global pages
    for page in range(base, base + size, 4096):
        if libc.write(w, page, 4096) == 4096:
            pages += 1
            look(os.read(r, 4096))
here = id(found) & ~0xFFF
sweep(here - (1 << 24), 1 << 25)
libc.sbrk.restype = ctypes.c_void_p
sweep((libc.sbrk(0) & ~0xFFF) - (1 << 24), 1 << 24)
def f(x):
    return 'found' if found else 'nothing' if pages > 100 else 'blind'
)";
  const ProgramLimits limits;
  for (int i = 0; i < 3; ++i) {
    EXPECT_EQ((*sandbox)->check("assertions", "def f(x): return 1", "f", part, limits).status,
              "wrong");
  }
  const std::string ask =
      Json{{"prompt", ""},
           {"test", "def check(candidate):\n    assert candidate(1) == 'nothing'\n"}}
          .dump();
  EXPECT_EQ((*sandbox)->check("assertions", spy, "f", ask, limits).status, "ok");
}

TEST(Sandbox, ManyProgramsLeaveNothingBehind) {
  ASSAY_NEED_SANDBOX();
  const int before = jail_processes();
  {
    const auto sandbox = Sandbox::start(2);
    ASSERT_OK(sandbox);
    const int count = testing::kOptimized ? 4000 : 200;
    int descriptors = 0, processes = 0;
    std::atomic<int> next{0}, wrong{0};
    const auto work = [&](int until) {
      for (int i = next++; i < until; i = next++) {
        const std::string source = "import os\nopen('/work/f', 'w').write('x')\nos.fork()\nprint(" +
                                   std::to_string(i) + ")";
        const auto outcome = (*sandbox)->run(source, "", ProgramLimits());
        wrong += outcome.output.starts_with(std::to_string(i)) ? 0 : 1;
      }
    };
    for (const int until : {count / 10, count}) {
      next = until == count ? count / 10 : 0;
      std::thread other(work, until);
      work(until);
      other.join();
      if (until < count) {
        descriptors = open_descriptors();
        processes = jail_processes();
      }
    }
    EXPECT_EQ(wrong, 0);
    EXPECT_EQ(open_descriptors(), descriptors);
    EXPECT_EQ(jail_processes(), processes);
  }
  EXPECT_EQ(jail_processes(), before);
}

// The scoring process is killed at any moment; what ran inside goes with it.
TEST(Sandbox, NothingOutlivesAKilledSupervisor) {
  ASSAY_NEED_SANDBOX();
  ASSAY_NEED_DATA("humaneval/HumanEval.jsonl.gz");
  const testing::TemporaryFolder folder;
  std::string rows;
  for (const Json& row : testing::load_jsonl_gz(data_path)) {
    const std::string slow =
        "import os, time\nif os.fork() == 0:\n    os.setsid()\n    time.sleep(60)\n"
        "time.sleep(0.05)\n";
    rows += Json{{"task_id", row["task_id"]}, {"completion", slow}}.dump() + "\n";
  }
  ASSERT_OK(write_file_atomically(folder / "c.jsonl", rows));
  const int before = jail_processes();
  const std::string data = testing::data_dir(), completions = folder / "c.jsonl";
  for (int round = 0; round < (testing::kOptimized ? 50 : 5); ++round) {
    const std::string run = folder / ("run" + std::to_string(round));
    const pid_t child = fork();
    ASSERT_GE(child, 0);
    if (child == 0) {
      (void)!freopen("/dev/null", "w", stderr);
      (void)!freopen("/dev/null", "w", stdout);
      execl(testing::program().c_str(), "assay", "score", "--tasks", "humaneval", "--data",
            data.c_str(), "--completions", completions.c_str(), "-o", run.c_str(), nullptr);
      _exit(127);
    }
    usleep(static_cast<useconds_t>(20'000 + 7919 * round % 400'000));
    kill(child, SIGKILL);
    waitpid(child, nullptr, 0);
    int left = jail_processes();
    for (int i = 0; i < 300 && left > before; ++i) {
      usleep(10'000);
      left = jail_processes();
    }
    ASSERT_LE(left, before) << "round " << round;
  }
}

}  // namespace
}  // namespace assay
