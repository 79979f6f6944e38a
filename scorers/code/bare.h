// What holds programs where a jail's namespaces cannot be had (assay_jail with "bare"), and
// Landlock for those that can: parts of jail.cc. A bare jail has no root, no network and no process
// numbers of its own. What is left: another user where it was started by root, the system-call
// filter, the limits, and Landlock (kernel 5.13 on), which shows it the system's programs and its
// own folder.
#pragma once

#include <sys/types.h>

#include <string>
#include <vector>

namespace assay::jail {

// A folder that Landlock leaves to programs.
struct Shown {
  std::string path;
  bool writable = false;  // everything may be done below it; else it is read and executed
};

// Denies this process and all that it starts, for good: signals to others, abstract sockets, TCP
// and, with `shown`, every other folder, each as far as the kernel can. The version of Landlock
// that did it; 0: the kernel has none.
int restrict_with_landlock(const std::vector<Shown>& shown);

// A folder of its own under $TMPDIR or /tmp, with "work" in it; empty if there can be none.
std::string make_bare_folder();
// What programs left in "work" goes; links are not followed. Without `again` the folder goes too.
bool empty_bare_folder(const std::string& folder, bool again);

// Ends all that descends from `ancestor`, but not that one itself, which must be their reaper.
void end_descendants(pid_t ancestor);

// How many processes and threads the user has; 0 if /proc cannot be read.
int processes_of_user(uid_t user);

}  // namespace assay::jail
