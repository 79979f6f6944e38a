#include "scorers/code/bare.h"

#include <dirent.h>
#include <fcntl.h>
#include <linux/landlock.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <map>
#include <set>

namespace assay::jail {
namespace {

// As the kernel has it since version 6 of the interface; headers of distributions lag behind.
struct RulesetAttributes {
  uint64_t handled_access_fs = 0, handled_access_net = 0, scoped = 0;
};
constexpr uint64_t kNet = 3;     // bind and connect of TCP, since version 4
constexpr uint64_t kScoped = 3;  // abstract sockets and signals, since version 6
constexpr uint64_t kRead =
    LANDLOCK_ACCESS_FS_EXECUTE | LANDLOCK_ACCESS_FS_READ_FILE | LANDLOCK_ACCESS_FS_READ_DIR;

// The accesses to files that a version knows: bits are added at the end.
uint64_t all_accesses(int version) {
  const int bits = version >= 5 ? 16 : version >= 3 ? 15 : version >= 2 ? 14 : 13;
  return (uint64_t{1} << bits) - 1;
}

void allow(int ruleset, const Shown& shown, uint64_t handled) {
  const int folder = open(shown.path.c_str(), O_PATH | O_CLOEXEC);
  if (folder < 0) return;  // the system has none
  struct stat info {};
  uint64_t access = shown.writable ? handled : kRead;
  if (fstat(folder, &info) == 0 && !S_ISDIR(info.st_mode)) {
    // What a file can be granted.
    access = LANDLOCK_ACCESS_FS_EXECUTE | LANDLOCK_ACCESS_FS_READ_FILE;
    if (shown.writable) access |= LANDLOCK_ACCESS_FS_WRITE_FILE;
  }
  landlock_path_beneath_attr rule{};
  rule.allowed_access = access & handled;
  rule.parent_fd = folder;
  (void)syscall(SYS_landlock_add_rule, ruleset, LANDLOCK_RULE_PATH_BENEATH, &rule, 0);
  close(folder);
}

struct Process {
  pid_t parent = 0;
  bool ended = false;
};

// Of /proc/PID/stat: after a name in parentheses, which may hold anything, the state, the parent
// and, as the 20th field, the threads. A zombie that has others left than its first is alive.
Process parse_process(const char* fields) {
  char state = '?';
  int parent = 0, threads = 0;
  (void)std::sscanf(fields, "%c %d %*s %*s %*s %*s %*s %*s %*s %*s %*s %*s %*s %*s %*s %*s %*s %d",
                    &state, &parent, &threads);
  return {parent, (state == 'Z' || state == 'X') && threads <= 1};
}

std::map<pid_t, Process> all_processes() {
  std::map<pid_t, Process> processes;
  DIR* folder = opendir("/proc");
  if (folder == nullptr) return processes;
  while (const dirent* entry = readdir(folder)) {
    const pid_t pid = static_cast<pid_t>(std::atoi(entry->d_name));
    if (pid <= 0) continue;
    char path[64], text[512] = {};
    std::snprintf(path, sizeof path, "/proc/%d/stat", static_cast<int>(pid));
    const int file = open(path, O_RDONLY | O_CLOEXEC);
    if (file < 0) continue;
    const ssize_t count = read(file, text, sizeof text - 1);
    close(file);
    if (count <= 0) continue;
    const std::string line(text, static_cast<size_t>(count));
    const size_t name_end = line.rfind(')');
    if (name_end == std::string::npos || name_end + 4 >= line.size()) continue;
    processes[pid] = parse_process(line.c_str() + name_end + 2);
  }
  closedir(folder);
  return processes;
}

}  // namespace

int restrict_with_landlock(const std::vector<Shown>& shown) {
  const long version =
      syscall(SYS_landlock_create_ruleset, nullptr, 0, LANDLOCK_CREATE_RULESET_VERSION);
  if (version < 1) return 0;
  RulesetAttributes attributes;
  if (!shown.empty()) attributes.handled_access_fs = all_accesses(static_cast<int>(version));
  if (version >= 4) attributes.handled_access_net = kNet;
  if (version >= 6) attributes.scoped = kScoped;
  const size_t known_bytes = version >= 6 ? 24 : version >= 4 ? 16 : 8;
  const int ruleset =
      static_cast<int>(syscall(SYS_landlock_create_ruleset, &attributes, known_bytes, 0));
  if (ruleset < 0) return 0;
  for (const Shown& entry : shown) allow(ruleset, entry, attributes.handled_access_fs);
  const bool done = prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0 &&
                    syscall(SYS_landlock_restrict_self, ruleset, 0) == 0;
  close(ruleset);
  return done ? static_cast<int>(version) : 0;
}

std::string make_bare_folder() {
  const char* temporary = std::getenv("TMPDIR");
  std::string folder = std::string(temporary != nullptr && *temporary != '\0' ? temporary : "/tmp");
  folder += "/assay-programs-XXXXXX";
  if (mkdtemp(folder.data()) == nullptr) return {};
  return mkdir((folder + "/work").c_str(), 0700) == 0 ? folder : std::string();
}

bool empty_bare_folder(const std::string& folder, bool again) {
  namespace fs = std::filesystem;
  std::error_code code;
  const std::string work = folder + "/work";
  // A program may have taken away its own right to look into what it made.
  std::set<std::string> opened = {work};
  chmod(work.c_str(), 0700);
  for (bool found = true; found;) {
    found = false;
    for (fs::recursive_directory_iterator entry(work, fs::directory_options::skip_permission_denied,
                                                code);
         !code && entry != fs::recursive_directory_iterator(); entry.increment(code)) {
      if (entry->is_symlink(code) || !entry->is_directory(code)) continue;
      if (!opened.insert(entry->path()).second) continue;
      chmod(entry->path().c_str(), 0700);
      found = true;
    }
  }
  if (!again) return fs::remove_all(folder, code) > 0;
  // Landlock knows the folder itself, so that it stays.
  std::vector<fs::path> left;
  for (const auto& entry : fs::directory_iterator(work, code)) left.push_back(entry.path());
  for (const fs::path& path : left) fs::remove_all(path, code);
  return fs::is_empty(work, code) && !code;
}

void end_descendants(pid_t ancestor) {
  constexpr int kMostRounds = 1000;
  // One that was listed alive may make another and end before it is looked at; that other is in
  // the next list. So it is over when all of a list had ended before the list was made.
  std::set<pid_t> ended_before;
  for (int round = 0; round < kMostRounds; ++round) {
    const std::map<pid_t, Process> processes = all_processes();
    bool over = true;
    std::set<pid_t> ended;
    for (const auto& [pid, process] : processes) {
      if (pid == ancestor) continue;
      pid_t up = process.parent;
      for (int depth = 0; up != ancestor && up > 1 && depth < 4096; ++depth) {
        const auto found = processes.find(up);
        if (found == processes.end()) break;
        up = found->second.parent;
      }
      if (up != ancestor) continue;
      if (process.ended) {
        ended.insert(pid);
      } else {
        kill(pid, SIGKILL);
      }
      over = over && ended_before.contains(pid);
    }
    if (over) return;
    ended_before = std::move(ended);
  }
}

int processes_of_user(uid_t user) {
  int count = 0;
  for (const auto& [pid, process] : all_processes()) {
    char path[64];
    std::snprintf(path, sizeof path, "/proc/%d/task", static_cast<int>(pid));
    struct stat info {};
    if (stat(path, &info) == 0 && info.st_uid == user) count += static_cast<int>(info.st_nlink) - 2;
  }
  return count;
}

}  // namespace assay::jail
