// assay_jail: makes a jail around itself and becomes its keeper; the zygote inside runs programs.
//
//   assay_jail ZYGOTE.py PYTHON jail|bare [GROUP…]
//
// What Python runs is ZYGOTE.py behind its parts in the same folder: base.py, programs.py,
// checker.py. Descriptors 0 and 1 are the zygote's requests and answers; the groups are
// cgroup.procs files of control groups to enter. "bare": without namespaces, for machines that
// forbid them; see bare.h. "jail": User, mount, pid, net, ipc, uts and cgroup namespaces; a root of
// its own (tmpfs, with the system's programs and libraries bound read-only, no /proc, nothing of
// /home, /root or /var); no network; no capabilities, no_new_privs, an allow-list of system calls.
// The keeper stays outside of the pid namespace and, asked by the zygote, gives programs an empty
// /work and starts the checker, in a pid namespace beside. When the keeper or the program that
// started it ends, everything inside does.
#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <poll.h>
#include <sched.h>
#include <seccomp.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <string>
#include <vector>

#include "scorers/code/bare.h"

namespace {

constexpr const char* kRoot = "/tmp";  // where the new root is mounted; the old /tmp is not seen
constexpr const char* kWorkOptions = "size=64m,nr_inodes=4096,mode=755";

// One message to whoever started the jail, in the zygote's framing.
[[noreturn]] void fail(const std::string& what) {
  std::string text;
  for (const char c : what) {
    if (c == '"' || c == '\\') text += '\\';
    text += c;
  }
  const std::string body = "{\"status\": \"failed\", \"detail\": \"" + text + "\"}";
  char header[9];
  std::snprintf(header, sizeof header, "%08zx", body.size());
  const std::string message = header + body;
  (void)!write(1, message.data(), message.size());
  _exit(1);
}

void must(bool ok, const char* what) {
  if (!ok) fail(std::string(what) + ": " + std::strerror(errno));
}

void write_text(const std::string& path, const std::string& text) {
  const int file = open(path.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);
  must(file >= 0, path.c_str());
  must(write(file, text.data(), text.size()) == static_cast<ssize_t>(text.size()), path.c_str());
  close(file);
}

std::string read_text(const char* path) {
  const int file = open(path, O_RDONLY | O_CLOEXEC);
  must(file >= 0, path);
  std::string text;
  char part[65536];
  ssize_t count = 0;
  while ((count = read(file, part, sizeof part)) > 0) text.append(part, static_cast<size_t>(count));
  close(file);
  return text;
}

// Root becomes an ordinary user that owns nothing here. The root of a user namespace that knows no
// other user is one already.
void become_nobody() {
  if (geteuid() != 0) return;
  const auto id = static_cast<uid_t>(1'900'000'000 + getpid());
  const auto become = [](uid_t user) {
    return setresgid(user, user, user) == 0 && setresuid(user, user, user) == 0;
  };
  if (setgroups(0, nullptr) == 0 && (become(id) || become(65534))) {
    must(prctl(PR_SET_DUMPABLE, 1) == 0, "prctl");  // else /proc/self belongs to root
    return;
  }
  unsigned inside = 0, outside = 0;
  if (std::sscanf(read_text("/proc/self/uid_map").c_str(), "%u %u", &inside, &outside) != 2 ||
      outside == 0) {
    fail("root cannot become another user here (are its capabilities dropped?)");
  }
}

void enter_user_namespace() {
  const uid_t uid = geteuid();
  const gid_t gid = getegid();
  if (unshare(CLONE_NEWUSER) != 0) {
    fail(std::string("user namespaces are forbidden on this machine (") + std::strerror(errno) +
         ")");
  }
  write_text("/proc/self/setgroups", "deny");
  write_text("/proc/self/uid_map", "1000 " + std::to_string(uid) + " 1");
  write_text("/proc/self/gid_map", "1000 " + std::to_string(gid) + " 1");
}

// Flags of a mount that a user namespace may not take away.
unsigned long locked_flags(const std::string& path) {
  struct statvfs info {};
  unsigned long flags = 0;
  if (statvfs(path.c_str(), &info) != 0) return flags;
  if (info.f_flag & ST_NOEXEC) flags |= MS_NOEXEC;
  if (info.f_flag & ST_NOATIME) flags |= MS_NOATIME;
  if (info.f_flag & ST_NODIRATIME) flags |= MS_NODIRATIME;
  if (info.f_flag & ST_RELATIME) flags |= MS_RELATIME;
  return flags;
}

// A folder or file of the system, read-only at the same place in the new root; a link stays one.
void show(const std::string& path, bool device = false) {
  struct stat info {};
  if (lstat(path.c_str(), &info) != 0) return;  // the system has none
  const std::string to = kRoot + path;
  if (S_ISLNK(info.st_mode)) {
    char target[4096];
    const ssize_t length = readlink(path.c_str(), target, sizeof target - 1);
    must(length > 0, path.c_str());
    target[length] = '\0';
    must(symlink(target, to.c_str()) == 0, to.c_str());
    return;
  }
  if (S_ISDIR(info.st_mode)) {
    must(mkdir(to.c_str(), 0755) == 0, to.c_str());
  } else {
    write_text(to, "");
  }
  must(mount(path.c_str(), to.c_str(), nullptr, MS_BIND | MS_REC, nullptr) == 0, to.c_str());
  if (device) return;
  const unsigned long flags =
      MS_REMOUNT | MS_BIND | MS_RDONLY | MS_NOSUID | MS_NODEV | locked_flags(to);
  must(mount(nullptr, to.c_str(), nullptr, flags, nullptr) == 0, to.c_str());
}

void mount_work() {
  must(mount("tmpfs", "/work", "tmpfs", MS_NOSUID | MS_NODEV, kWorkOptions) == 0, "mount /work");
}

void change_root(const std::string& zygote, const std::string& filter) {
  must(mount(nullptr, "/", nullptr, MS_REC | MS_PRIVATE, nullptr) == 0, "mount / private");
  must(mount("tmpfs", kRoot, "tmpfs", MS_NOSUID, "size=4m,nr_inodes=512,mode=755") == 0,
       "mount the new root");
  for (const char* path : {"/usr", "/bin", "/sbin", "/lib", "/lib32", "/lib64", "/libx32"})
    show(path);
  must(mkdir((std::string(kRoot) + "/etc").c_str(), 0755) == 0, "mkdir /etc");
  for (const char* path : {"/etc/ld.so.cache", "/etc/alternatives"}) show(path);
  write_text(std::string(kRoot) + "/etc/passwd", "program:x:1000:1000::/work:/bin/false\n");
  write_text(std::string(kRoot) + "/etc/group", "program:x:1000:\n");
  must(mkdir((std::string(kRoot) + "/dev").c_str(), 0755) == 0, "mkdir /dev");
  for (const char* path : {"/dev/null", "/dev/zero", "/dev/full", "/dev/random", "/dev/urandom"}) {
    show(path, true);
  }
  must(mkdir((std::string(kRoot) + "/work").c_str(), 0755) == 0, "mkdir /work");
  must(symlink("/work", (std::string(kRoot) + "/tmp").c_str()) == 0, "link /tmp");
  write_text(std::string(kRoot) + "/zygote.py", zygote);
  write_text(std::string(kRoot) + "/filter.bpf", filter);
  must(mkdir((std::string(kRoot) + "/old").c_str(), 0700) == 0, "mkdir /old");
  must(syscall(SYS_pivot_root, kRoot, (std::string(kRoot) + "/old").c_str()) == 0, "pivot_root");
  must(chdir("/") == 0, "chdir");
  must(umount2("/old", MNT_DETACH) == 0, "umount the old root");
  must(rmdir("/old") == 0, "rmdir /old");
  must(mount(nullptr, "/", nullptr, MS_REMOUNT | MS_BIND | MS_RDONLY | MS_NOSUID, nullptr) == 0,
       "remount /");
  mount_work();
}

void add_rules(scmp_filter_ctx filter, uint32_t action, const char* names) {
  std::string name;
  for (const char* c = names;; ++c) {
    if (*c != ' ' && *c != '\0') {
      name += *c;
      continue;
    }
    const int number = name.empty() ? __NR_SCMP_ERROR : seccomp_syscall_resolve_name(name.c_str());
    // Calls that this processor does not have are negative.
    if (number >= 0) must(seccomp_rule_add(filter, action, number, 0) == 0, name.c_str());
    name.clear();
    if (*c == '\0') return;
  }
}

// What an interpreter, a compiler and the programs that they make need. A bare jail's may signal
// nobody: their process numbers are those of the machine.
scmp_filter_ctx system_calls(bool bare) {
  scmp_filter_ctx filter = seccomp_init(SCMP_ACT_ERRNO(ENOSYS));
  must(filter != nullptr, "seccomp_init");
  add_rules(
      filter, SCMP_ACT_ALLOW,
      "read write readv writev pread64 pwrite64 preadv pwritev open openat creat close close_range "
      "stat fstat lstat newfstatat statx access faccessat faccessat2 lseek poll ppoll select "
      "pselect6 epoll_create epoll_create1 epoll_ctl epoll_wait epoll_pwait epoll_pwait2 eventfd "
      "eventfd2 timerfd_create timerfd_settime timerfd_gettime signalfd signalfd4 mmap mprotect "
      "munmap mremap msync mincore madvise brk memfd_create rt_sigaction rt_sigprocmask "
      "rt_sigreturn rt_sigpending rt_sigtimedwait rt_sigsuspend sigaltstack ioctl "
      "pipe pipe2 dup dup2 dup3 fcntl flock fsync fdatasync truncate ftruncate fallocate fadvise64 "
      "getdents getdents64 getcwd chdir fchdir rename renameat renameat2 mkdir mkdirat rmdir link "
      "linkat unlink unlinkat symlink symlinkat readlink readlinkat chmod fchmod fchmodat umask "
      "utime utimes utimensat futimesat statfs fstatfs copy_file_range sendfile splice tee "
      "nanosleep clock_nanosleep getitimer setitimer alarm pause clock_gettime clock_getres "
      "gettimeofday time times getpid gettid getppid getpgrp getpgid getsid setsid setpgid getuid "
      "geteuid getgid getegid getgroups getresuid getresgid getpriority fork vfork execve execveat "
      "exit exit_group wait4 waitid pidfd_open sched_yield "
      "sched_getaffinity sched_setaffinity sched_getparam sched_getscheduler "
      "sched_get_priority_max sched_get_priority_min uname sysinfo getrlimit setrlimit prlimit64 "
      "getrusage prctl arch_prctl capget futex futex_waitv set_tid_address set_robust_list "
      "get_robust_list rseq membarrier getrandom getcpu restart_syscall socketpair sendmsg recvmsg "
      "sendto recvfrom shutdown getsockopt setsockopt getsockname getpeername");
  add_rules(filter, bare ? SCMP_ACT_ERRNO(EACCES) : SCMP_ACT_ALLOW,
            "kill tgkill rt_sigqueueinfo pidfd_send_signal");
  // Threads and processes, but no namespaces; the flags of clone3 cannot be seen, so it is not
  // there.
  const int clone_call = seccomp_syscall_resolve_name("clone");
  must(seccomp_rule_add(filter, SCMP_ACT_ALLOW, clone_call, 1,
                        SCMP_A0(SCMP_CMP_MASKED_EQ,
                                CLONE_NEWNS | CLONE_NEWUSER | CLONE_NEWPID | CLONE_NEWNET |
                                    CLONE_NEWIPC | CLONE_NEWUTS | CLONE_NEWCGROUP,
                                0)) == 0,
       "clone");
  add_rules(
      filter, SCMP_ACT_ERRNO(EACCES),
      "socket connect bind listen accept accept4 shmget shmat shmctl msgget semget mq_open setuid "
      "setgid setreuid setregid setresuid setresgid setgroups setfsuid setfsgid setpriority nice "
      "mknod mknodat chown fchown lchown fchownat mlock mlockall sethostname setdomainname "
      "personality setxattr capset");
  // Nobody calls these by chance.
  add_rules(
      filter, SCMP_ACT_KILL_PROCESS,
      "ptrace process_vm_readv process_vm_writev pidfd_getfd kcmp mount umount2 pivot_root chroot "
      "unshare setns fsopen fsmount fsconfig fspick move_mount open_tree mount_setattr keyctl "
      "add_key request_key bpf perf_event_open kexec_load kexec_file_load init_module "
      "finit_module delete_module reboot swapon swapoff userfaultfd io_uring_setup "
      "io_uring_enter io_uring_register open_by_handle_at name_to_handle_at settimeofday "
      "clock_settime adjtimex clock_adjtime acct quotactl syslog iopl ioperm vhangup "
      "lookup_dcookie");
  return filter;
}

// What a Python program is denied beside, once it runs: other programs, and signals to others.
std::string second_filter() {
  scmp_filter_ctx filter = seccomp_init(SCMP_ACT_ALLOW);
  must(filter != nullptr, "seccomp_init");
  add_rules(filter, SCMP_ACT_ERRNO(EACCES), "execve execveat kill pidfd_open pidfd_send_signal");
  const int file = memfd_create("filter", MFD_CLOEXEC);
  must(file >= 0, "memfd_create");
  must(seccomp_export_bpf(filter, file) == 0, "seccomp_export_bpf");
  must(lseek(file, 0, SEEK_SET) == 0, "lseek");
  std::string bytes(65536, '\0');
  const ssize_t size = read(file, bytes.data(), bytes.size());
  must(size > 0, "read the filter");
  bytes.resize(static_cast<size_t>(size));
  close(file);
  seccomp_release(filter);
  return bytes;
}

// Who lives in a jail: the zygote, and beside it, where programs do not see it, the checker, which
// is started when it is asked for.
enum class Role { kZygote, kChecker };

// What the two are started with.
struct Jail {
  const char* python = nullptr;
  std::string folder;  // of a bare jail
  int processes = 0;   // that a program may have
  bool bare = false;
  int cleaner[2] = {},
      partner[2] = {};  // the keeper's end and the zygote's; checker's and zygote's
};

// What is the same in every jail: standard streams, limits, privileges.
void give_up_rights(int cleaner, int partner) {
  // In a jail with namespaces it is process 1: its end is the end of everything inside.
  must(prctl(PR_SET_PDEATHSIG, SIGKILL) == 0, "prctl");
  const int kept[] = {fcntl(cleaner, F_DUPFD, 10), fcntl(partner, F_DUPFD, 10)};
  must(kept[0] >= 0 && dup2(kept[0], 3) == 3, "dup2");
  must(kept[1] >= 0 && dup2(kept[1], 4) == 4, "dup2");
  syscall(SYS_close_range, 5, ~0U, 0);
  const int null = open("/dev/null", O_WRONLY);
  must(null >= 0, "/dev/null");
  dup2(null, 2);
  close(null);
  const rlimit stack = {RLIM_INFINITY, RLIM_INFINITY}, none = {0, 0};
  const rlimit deep = {256 << 20, RLIM_INFINITY};
  if (setrlimit(RLIMIT_STACK, &deep) != 0) (void)setrlimit(RLIMIT_STACK, &stack);
  must(setrlimit(RLIMIT_CORE, &none) == 0, "setrlimit");
  must(prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0, "no_new_privs");
}

[[noreturn]] void become_python(const Jail& jail, Role role) {
  scmp_filter_ctx filter = system_calls(jail.bare);
  must(seccomp_load(filter) == 0, "seccomp_load");
  const std::string zygote = jail.folder + "/zygote.py", home = "HOME=" + jail.folder + "/work",
                    temporary = "TMPDIR=" + jail.folder + "/work", at = "ASSAY_JAIL=" + jail.folder,
                    most = "ASSAY_PROCESSES=" + std::to_string(jail.processes);
  const char* arguments[] = {jail.python, "-I", "-S", "-B", zygote.c_str(), nullptr};
  const char* environment[] = {"PATH=/usr/bin:/bin",
                               home.c_str(),
                               temporary.c_str(),
                               "LANG=C.UTF-8",
                               "PYTHONHASHSEED=0",
                               at.c_str(),
                               most.c_str(),
                               jail.bare ? "ASSAY_BARE=1" : "ASSAY_BARE=",
                               role == Role::kChecker ? "ASSAY_ROLE=checker" : nullptr,
                               nullptr};
  execve(jail.python, const_cast<char* const*>(arguments), const_cast<char* const*>(environment));
  fail(std::string(jail.python) + ": " + std::strerror(errno));
}

constexpr int kProcesses = 32;  // that a program may have

[[noreturn]] void become(const Jail& jail, Role role) {
  const int partner = jail.partner[role == Role::kChecker ? 0 : 1];
  // The checker has nothing to ask of the keeper.
  give_up_rights(role == Role::kChecker ? partner : jail.cleaner[1], partner);
  if (!jail.bare) {
    for (int capability = 0; prctl(PR_CAPBSET_READ, capability) >= 0; ++capability) {
      must(prctl(PR_CAPBSET_DROP, capability) == 0, "drop capabilities");
    }
    must(prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0) == 0, "drop capabilities");
    (void)assay::jail::restrict_with_landlock({});
    // As user 1000 the capabilities of the namespace go with execve.
    become_python(jail, role);
  }
  // What a program leaves behind becomes the zygote's, where it is found.
  must(prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0) == 0, "prctl");
  std::vector<assay::jail::Shown> shown;
  for (const char* path :
       {"/usr", "/bin", "/sbin", "/lib", "/lib32", "/lib64", "/libx32", "/etc/ld.so.cache",
        "/etc/alternatives", "/dev/zero", "/dev/full", "/dev/random", "/dev/urandom"}) {
    shown.push_back({path, false});
  }
  shown.push_back({"/dev/null", true});
  shown.push_back({jail.folder + "/zygote.py", false});
  shown.push_back({jail.folder + "/filter.bpf", false});
  shown.push_back({jail.folder + "/work", true});
  (void)assay::jail::restrict_with_landlock(shown);
  become_python(jail, role);
}

// Process 1 of a namespace of its own, or a child like any other in a bare jail.
pid_t start(const Jail& jail, Role role) {
  const long child = jail.bare ? fork() : syscall(SYS_clone, CLONE_NEWPID | SIGCHLD, 0, 0, 0, 0);
  must(child >= 0, "process namespaces are forbidden on this machine");
  if (child == 0) become(jail, role);
  return static_cast<pid_t>(child);
}

void end(pid_t process) {
  if (process <= 0) return;
  kill(process, SIGKILL);
  waitpid(process, nullptr, 0);
}

void interrupt(int) {}

// What the zygote asks for: "c" an empty folder, "x" a checker in the place of the one before, "k"
// in a bare jail that what a program left ends.
bool serve(const Jail& jail, char request, pid_t zygote, pid_t& checker) {
  if (request == 'x') {
    end(checker);
    checker = start(jail, Role::kChecker);
    return true;
  }
  if (!jail.bare) {
    // What a program mounted over or holds open goes with the mount.
    (void)umount2("/work", MNT_DETACH);
    return mount("tmpfs", "/work", "tmpfs", MS_NOSUID | MS_NODEV, kWorkOptions) == 0;
  }
  if (request != 'k') return assay::jail::empty_bare_folder(jail.folder, true);
  assay::jail::end_descendants(zygote);
  return true;
}

// Until the zygote ends, or SIGTERM interrupts the waiting for its requests.
int keep(const Jail& jail) {
  struct sigaction action {};
  action.sa_handler = interrupt;
  sigaction(SIGTERM, &action, nullptr);
  const pid_t zygote = start(jail, Role::kZygote);
  // The end that tells that the zygote is gone must not be held here.
  close(jail.cleaner[1]);
  pid_t checker = 0;
  char request = 0;
  while (read(jail.cleaner[0], &request, 1) == 1) {
    if (!serve(jail, request, zygote, checker)) break;
    if (write(jail.cleaner[0], &request, 1) != 1) break;
  }
  if (jail.bare) {
    // The zygote first sees its programs end, so that none is left without it.
    kill(zygote, SIGSTOP);
    assay::jail::end_descendants(zygote);
  }
  end(zygote);
  end(checker);
  if (jail.bare) {
    assay::jail::end_descendants(getpid());
    assay::jail::empty_bare_folder(jail.folder, false);
  }
  return 0;
}

// A jail without namespaces. The keeper outlives a killed supervisor for as long as it takes to
// end what is inside, and inherits what the zygote leaves.
void enter_bare(Jail& jail, const std::string& zygote, const std::string& filter) {
  const bool own_user = geteuid() == 0;
  become_nobody();
  must(prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0) == 0, "prctl");
  jail.folder = assay::jail::make_bare_folder();
  if (jail.folder.empty()) fail(std::string("a folder for programs: ") + std::strerror(errno));
  write_text(jail.folder + "/zygote.py", zygote);
  write_text(jail.folder + "/filter.bpf", filter);
  // The limit counts all of the user's processes.
  if (!own_user) jail.processes += assay::jail::processes_of_user(geteuid()) + kProcesses;
}

// What the kernel does not let be entered limits nothing; the other limits hold without it.
void enter_group(const char* entrance) {
  const int file = open(entrance, O_WRONLY | O_CLOEXEC);
  if (file < 0) return;
  (void)!write(file, "0", 1);
  close(file);
}

void enter_namespaces(const std::string& zygote, const std::string& filter) {
  become_nobody();
  enter_user_namespace();
  must(unshare(CLONE_NEWNS | CLONE_NEWNET | CLONE_NEWIPC | CLONE_NEWUTS | CLONE_NEWCGROUP) == 0,
       "namespaces are forbidden on this machine");
  (void)sethostname("jail", 4);
  change_root(zygote, filter);
}

}  // namespace

int main(int argc, char** argv) {
  if (argc < 4) fail("usage: assay_jail ZYGOTE.py PYTHON jail|bare [GROUP…]");
  const bool bare = std::string(argv[3]) == "bare";
  for (int i = 4; i < argc; ++i) enter_group(argv[i]);
  signal(SIGPIPE, SIG_IGN);
  const std::string path = argv[1], folder = path.substr(0, path.rfind('/') + 1);
  std::string zygote;
  for (const char* part : {"base.py", "programs.py", "checker.py"}) {
    zygote += read_text((folder + part).c_str());
  }
  zygote += read_text(argv[1]);
  const std::string filter = second_filter();
  Jail jail;
  jail.python = argv[2];
  jail.bare = bare;
  jail.processes = kProcesses;
  if (bare) {
    enter_bare(jail, zygote, filter);
  } else {
    enter_namespaces(zygote, filter);
  }
  for (int* pair : {jail.cleaner, jail.partner}) {
    must(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair) == 0, "socketpair");
  }
  return keep(jail);
}
