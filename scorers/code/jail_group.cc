#include "scorers/code/jail_group.h"

#include <errno.h>
#include <fcntl.h>
#include <fmt/format.h>
#include <signal.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <cstdio>
#include <filesystem>

#include "harness/base/clock.h"
#include "harness/base/text.h"

namespace assay {
namespace {

namespace fs = std::filesystem;

constexpr const char* kPrefix = "assay-jail-";

// The kernel's files say by the write itself whether they take a value.
bool write_value(const std::string& path, const std::string& value) {
  const int file = open(path.c_str(), O_WRONLY | O_CLOEXEC);
  if (file < 0) return false;
  const bool done = write(file, value.data(), value.size()) == static_cast<ssize_t>(value.size());
  close(file);
  return done;
}

std::string read_text(const std::string& path) {
  const int file = open(path.c_str(), O_RDONLY | O_CLOEXEC);
  if (file < 0) return {};
  std::string text(1 << 16, '\0');
  const ssize_t count = read(file, text.data(), text.size());
  close(file);
  text.resize(count > 0 ? static_cast<size_t>(count) : 0);
  return text;
}

bool has_word(std::string_view words, const std::string& word, char separator) {
  const std::vector<std::string> all = split(words, separator);
  return std::find(all.begin(), all.end(), word) != all.end();
}

// The folder of a group: the group as this process's hierarchy names it, below the place where the
// mount shows a part of that hierarchy.
std::string folder_of(std::string_view mount_root, std::string_view mount_point,
                      std::string_view group) {
  if (mount_root != "/") {
    if (!group.starts_with(mount_root)) return {};
    group.remove_prefix(mount_root.size());
  }
  std::string folder(mount_point);
  if (group.starts_with("/") && group != "/") folder += group;
  return folder;
}

// A group of version 2 hands controllers on to groups below it only if it has no processes of its
// own; the one in which this process is alone is left for one below.
bool hand_on(const std::string& folder) {
  const std::string control = folder + "/cgroup.subtree_control";
  const std::string wanted = "+memory +pids";
  const auto handed_on = [&] {
    std::string words = read_text(control);
    while (!words.empty() && words.back() == '\n') words.pop_back();
    return has_word(words, "memory", ' ') && has_word(words, "pids", ' ');
  };
  if (handed_on() || (write_value(control, wanted) && handed_on())) return true;
  const std::string own = folder + "/assay-self";
  if (mkdir(own.c_str(), 0755) != 0 && errno != EEXIST) return false;
  if (write_value(own + "/cgroup.procs", "0")) {
    if (write_value(control, wanted) && handed_on()) return true;
    (void)write_value(folder + "/cgroup.procs", "0");
  }
  (void)rmdir(own.c_str());
  return false;
}

void remove_left_ones(const std::string& folder) {
  std::error_code code;
  for (const auto& entry : fs::directory_iterator(folder, code)) {
    const std::string name = entry.path().filename();
    int process = 0;
    if (!name.starts_with(kPrefix)) continue;
    if (std::sscanf(name.c_str() + std::string_view(kPrefix).size(), "%d", &process) != 1) continue;
    if (process > 0 && kill(process, 0) != 0 && errno == ESRCH) (void)rmdir(entry.path().c_str());
  }
}

}  // namespace

GroupFolders parse_group_folders(std::string_view groups, std::string_view mounts) {
  GroupFolders folders;
  for (const std::string& mount : split(mounts, '\n')) {
    // "36 35 0:33 ROOT POINT OPTIONS… - TYPE SOURCE SUPER_OPTIONS"
    const size_t dash = mount.find(" - ");
    if (dash == std::string::npos) continue;
    const std::vector<std::string> before = split(mount.substr(0, dash), ' '),
                                   after = split(mount.substr(dash + 3), ' ');
    if (before.size() < 5 || after.size() < 3) continue;
    const bool unified = after[0] == "cgroup2";
    if (!unified && after[0] != "cgroup") continue;
    for (const std::string& group : split(groups, '\n')) {
      // "4:memory:/a/b" or, of version 2, "0::/a/b"
      const size_t first = group.find(':'), second = group.find(':', first + 1);
      if (first == std::string::npos || second == std::string::npos) continue;
      const std::string controllers = group.substr(first + 1, second - first - 1);
      const std::string folder = folder_of(before[3], before[4], group.substr(second + 1));
      if (unified) {
        if (controllers.empty()) folders.unified = folder;
        continue;
      }
      for (const auto& [name, of] :
           {std::pair("memory", &folders.memory), std::pair("pids", &folders.pids)}) {
        if (has_word(controllers, name, ',') && has_word(after[2], name, ',')) *of = folder;
      }
    }
  }
  return folders;
}

std::unique_ptr<JailGroup> JailGroup::make(const GroupFolders& from, int processes) {
  static std::atomic<int> number{0};
  const std::string name = fmt::format("/{}{}-{}", kPrefix, getpid(), number++);
  std::unique_ptr<JailGroup> group(new JailGroup);
  const auto add = [&](const std::string& parent) {
    if (parent.empty()) return false;
    remove_left_ones(parent);
    const std::string folder = parent + name;
    if (mkdir(folder.c_str(), 0755) != 0) return false;
    group->folders_.push_back(folder);
    if (access((folder + "/cgroup.procs").c_str(), W_OK) != 0) return false;
    group->entrances_.push_back(folder + "/cgroup.procs");
    return true;
  };
  const std::string most = std::to_string(processes);
  if (!from.unified.empty() && hand_on(from.unified) && add(from.unified)) {
    group->unified_ = true;
    group->memory_ = group->folders_.back();
    (void)write_value(group->memory_ + "/pids.max", most);
    return group;
  }
  if (add(from.memory)) group->memory_ = group->folders_.back();
  if (add(from.pids)) (void)write_value(group->folders_.back() + "/pids.max", most);
  return group->entrances_.empty() ? nullptr : std::move(group);
}

GroupFolders JailGroup::own_folders() {
  return parse_group_folders(read_text("/proc/self/cgroup"), read_text("/proc/self/mountinfo"));
}

JailGroup::~JailGroup() {
  // What was killed takes a moment to be gone.
  const double until_s = monotonic_s() + 1;
  for (const std::string& folder : folders_) {
    while (rmdir(folder.c_str()) != 0 && errno == EBUSY && monotonic_s() < until_s) usleep(1000);
  }
}

bool JailGroup::limit_memory(int64_t bytes) {
  if (memory_.empty()) return false;
  if (bytes == limit_bytes_) return true;
  const std::string value = std::to_string(bytes);
  if (!write_value(memory_ + (unified_ ? "/memory.max" : "/memory.limit_in_bytes"), value)) {
    return false;
  }
  if (unified_) (void)write_value(memory_ + "/memory.swap.max", "0");
  limit_bytes_ = bytes;
  return true;
}

int64_t JailGroup::killed_for_memory() const {
  if (memory_.empty()) return 0;
  const std::string text =
      read_text(memory_ + (unified_ ? "/memory.events" : "/memory.oom_control"));
  for (const std::string& line : split(text, '\n')) {
    long long count = 0;
    if (std::sscanf(line.c_str(), "oom_kill %lld", &count) == 1) return count;
  }
  return 0;
}

}  // namespace assay
