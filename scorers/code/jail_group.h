// Control groups: limits on all the processes of a jail together, where the kernel lets this
// process make groups (it is root, or systemd or a container delegated some to it). Both versions
// of the kernel's interface: Documentation/admin-guide/cgroup-v2.rst, cgroup-v1/memory.rst and
// cgroup-v1/pids.rst.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace assay {

// Where this process's groups are: folders in which others can be made. One of version 2, or one
// for each controller of version 1; empty where there is none.
struct GroupFolders {
  std::string unified, memory, pids;
};
// From the texts of /proc/self/cgroup and /proc/self/mountinfo.
GroupFolders parse_group_folders(std::string_view groups, std::string_view mounts);

class JailGroup {
 public:
  // Null where no group can be made. Removes what a killed assay left.
  static std::unique_ptr<JailGroup> make(const GroupFolders& folders, int processes);
  static GroupFolders own_folders();  // of this process
  ~JailGroup();                       // its processes have ended

  // Files into which a process writes "0" to enter.
  const std::vector<std::string>& entrances() const { return entrances_; }
  bool limits_memory() const { return !memory_.empty(); }
  // Of all processes and their files in memory; false if the kernel refuses.
  bool limit_memory(int64_t bytes);
  // Processes that have been killed because the limit was reached.
  int64_t killed_for_memory() const;

 private:
  JailGroup() = default;

  std::vector<std::string> folders_, entrances_;
  std::string memory_;  // the folder with the memory's files
  bool unified_ = false;
  int64_t limit_bytes_ = 0;
};

}  // namespace assay
