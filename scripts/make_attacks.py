"""Writes the list of attacks that the sandbox must contain: scorers/code/attacks.jsonl.

    python3 scripts/make_attacks.py
A program prints ESCAPED if it gets what it is after; the tests look from outside as well.
"""
import json
import pathlib

ATTACKS = []


def attack(name, source):
    ATTACKS.append({"name": name, "source": source.strip("\n") + "\n"})


def tries(name, expression, imports="os"):
    """An expression that must raise, or be false."""
    attack(name, f"import {imports}\ntry:\n    got = {expression}\nexcept BaseException as e:\n    print('held', type(e).__name__)\n"
                 f"else:\n    print('ESCAPED' if got else 'held')")


def syscall(name, number, *arguments):
    attack(name, f"import ctypes\nlibc = ctypes.CDLL(None, use_errno=True)\n"
                 f"r = libc.syscall({', '.join(map(str, (number,) + arguments))})\nprint('held' if r < 0 else 'ESCAPED')")


# The host's files
for path in ("/etc/shadow", "/root", "/home", "/var/log", "/proc/1/environ", "/proc/self/mem", "/sys/kernel", "/run",
             "/boot", "/mnt", "/old", "/tmp/../root", "/proc/kcore", "/dev/mem", "/dev/sda", "/dev/kmsg", "/dev/tty",
             "/etc/hostname", "/etc/resolv.conf", "/etc/ssh"):
    tries(f"read {path}", f"os.path.exists({path!r}) and (os.listdir({path!r}) if os.path.isdir({path!r}) else open({path!r}, 'rb').read(1))")
for path in ("/usr/bin/x", "/etc/passwd", "/zygote.py", "/filter.bpf", "/x", "/dev/x", "/bin/x", "/lib/x"):
    tries(f"write {path}", f"open({path!r}, 'w')")
tries("remove the interpreter", "os.remove('/usr/bin/python3.11') or True")
tries("make the root writable", "os.chmod('/', 0o777) or True")
tries("leave by chroot", "os.chroot('/work') or True")
tries("climb out of the root", "len(os.listdir('/../../../..')) > 13")
attack("find the run's database", """
import os
for folder, _, files in os.walk('/'):
    if folder.startswith(('/usr', '/lib', '/bin', '/sbin')):
        continue
    if any(f.endswith(('.sqlite', '.db', '.jsonl')) for f in files):
        print('ESCAPED', folder)
""")
tries("environment of the host", "[k for k in os.environ if k not in ('PATH', 'HOME', 'TMPDIR', 'LANG', 'PYTHONHASHSEED', 'LC_CTYPE')]")
attack("symbolic link out", "import os\nos.symlink('/../../etc/shadow', '/work/l')\ntry:\n    open('/work/l').read()\n    print('ESCAPED')\nexcept OSError:\n    print('held')")
tries("hard link to the zygote", "os.link('/zygote.py', '/work/z') or True")

# Processes of others
for pid in (1, 2):
    tries(f"signal process {pid}", f"os.kill({pid}, 9) or True")
tries("signal everybody", "os.kill(-1, 9) or True")
tries("signal the parent", "os.kill(os.getppid(), 15) or True")
tries("a pidfd of the parent", "os.pidfd_open(os.getppid())")
syscall("ptrace", 101, 16, 1, 0, 0)
syscall("process_vm_readv", 310, 1, 0, 0, 0, 0, 0)
syscall("pidfd_getfd", 438, 0, 0, 0)
syscall("kcmp", 312, 1, 2, 0, 0, 0)
tries("priority over others", "os.setpriority(os.PRIO_PROCESS, 0, -5) or True")

# Network
for family in ("AF_INET", "AF_INET6", "AF_UNIX", "AF_NETLINK", "AF_PACKET"):
    tries(f"socket {family}", f"socket.socket(socket.{family}, socket.SOCK_RAW if {family!r} in ('AF_NETLINK', 'AF_PACKET') else socket.SOCK_STREAM)", "socket")
tries("resolve a name", "socket.gethostbyname('example.org')", "socket")
syscall("vsock", 41, 40, 1, 0)

# Becoming more
for call, arguments in (("setuid", "0"), ("setgid", "0"), ("setgroups", "[0]"), ("setresuid", "0, 0, 0")):
    tries(call, f"os.{call}({arguments}) or True")
tries("a setuid program", "os.system('su -c id') == 0")
tries("another program", "subprocess.run(['/bin/ls', '/']).returncode == 0", "subprocess")
tries("execv", "os.execv('/bin/sh', ['sh', '-c', 'echo ESCAPED'])")
for name, number, arguments in (
        ("unshare user", 272, (0x10000000,)), ("unshare mount", 272, (0x20000,)), ("setns", 308, (0, 0)),
        ("clone a user namespace", 56, (0x10000000 | 17, 0, 0, 0, 0)), ("clone3", 435, (0, 0)),
        ("mount", 165, (0, 0, 0, 0, 0)), ("umount", 166, (0, 0)), ("pivot_root", 155, (0, 0)), ("open_tree", 428, (-1, 0, 0)),
        ("move_mount", 429, (0, 0, 0, 0, 0)), ("fsopen", 430, (0, 0)), ("keyctl", 250, (0, 0, 0, 0, 0)), ("add_key", 248, (0, 0, 0, 0, 0)),
        ("request_key", 249, (0, 0, 0, 0)), ("bpf", 321, (0, 0, 0)), ("perf_event_open", 298, (0, 0, 0, 0, 0)),
        ("io_uring", 425, (8, 0)), ("userfaultfd", 323, (0,)), ("init_module", 175, (0, 0, 0)), ("kexec_load", 246, (0, 0, 0, 0)),
        ("reboot", 169, (0, 0, 0, 0)), ("swapon", 167, (0, 0)), ("acct", 163, (0,)), ("syslog", 103, (3, 0, 0)),
        ("iopl", 172, (3,)), ("personality", 135, (0x0040000,)), ("shmget", 29, (0, 4096, 0o1777)), ("msgget", 68, (0, 0o1777)),
        ("semget", 64, (0, 1, 0o1777)), ("mq_open", 240, (0, 0, 0, 0)), ("modify_ldt", 154, (0, 0, 0)),
        ("open_by_handle_at", 304, (0, 0, 0)), ("fanotify", 300, (0, 0)), ("settimeofday", 164, (0, 0)), ("clock_settime", 227, (0, 0)),
        ("adjtimex", 159, (0,)), ("sethostname", 170, (0, 0)), ("quotactl", 179, (0, 0, 0, 0)), ("memfd_secret", 447, (0,)),
        ("seccomp off", 317, (0, 0, 0)), ("capset", 126, (0, 0)), ("landlock", 444, (0, 0, 0)), ("mknod", 133, (0, 0o20666, 0x101))):
    syscall(name, number, *arguments)
tries("device file", "os.mknod('/work/d', 0o20666, os.makedev(1, 1)) or True")

# Too much of everything
attack("fork bomb", "import os\nwhile True:\n    try:\n        os.fork()\n    except OSError:\n        pass")
attack("thread bomb", "import threading, time\nn = 0\ntry:\n    while n < 5000:\n        threading.Thread(target=time.sleep, args=(9,), daemon=True).start(); n += 1\nexcept BaseException:\n    pass\nprint('ESCAPED' if n > 40 else 'held', flush=True)\nimport os\nos._exit(0)")
attack("memory flood", "x = []\nwhile True:\n    x.append(bytearray(10_000_000))")
attack("memory in children", "import os\nfor _ in range(30):\n    if os.fork() == 0:\n        x = bytearray(400_000_000)\n        while True: pass\nwhile True: pass")
attack("disk flood", "n = 0\ntry:\n    while True:\n        with open('/work/%d' % n, 'wb') as f:\n            f.write(b'x' * 8_000_000)\n        n += 1\nexcept OSError:\n    print('held' if n < 20 else 'ESCAPED')")
attack("one huge file", "import os\ntry:\n    with open('/work/f', 'wb') as f:\n        f.seek(1 << 40); f.write(b'x')\n    print('ESCAPED')\nexcept OSError:\n    print('held')")
attack("files without end", "n = 0\ntry:\n    while n < 100000:\n        open('/work/%d' % n, 'w').close(); n += 1\nexcept OSError:\n    pass\nprint('ESCAPED' if n >= 100000 else 'held')")
attack("output flood", "while True: print('x' * 10000)")
attack("error flood", "import sys\nwhile True: sys.stderr.write('x' * 10000)")
attack("busy loop", "while True: pass")
attack("busy loop that ignores SIGXCPU", "import signal\nsignal.signal(signal.SIGXCPU, signal.SIG_IGN)\nwhile True: pass")
attack("sleeper", "import time\ntime.sleep(1000)")
attack("deep recursion", "import sys\nsys.setrecursionlimit(10**9)\ndef f(n): return f(n + 1)\nf(0)")
attack("huge number", "x = 9 ** 9 ** 9")
attack("raise its own limits", "import resource\ntry:\n    resource.setrlimit(resource.RLIMIT_CPU, (1000, 1000))\n    print('ESCAPED')\nexcept (ValueError, OSError):\n    print('held')")
attack("many descriptors", "import os\nn = 0\ntry:\n    while n < 10000:\n        os.dup(0); n += 1\nexcept OSError:\n    pass\nprint('ESCAPED' if n > 100 else 'held')")
attack("descriptors left open", "import os\nopen_ones = []\nfor d in range(3, 300):\n    try:\n        os.fstat(d); open_ones.append(d)\n    except OSError:\n        pass\nprint('ESCAPED' if open_ones else 'held', open_ones)")
attack("core dump", "import os, resource\nprint('ESCAPED' if resource.getrlimit(resource.RLIMIT_CORE)[1] else 'held', flush=True)\nos.abort()")

# Outliving the run
attack("double fork and setsid", "import os, time\nif os.fork() == 0:\n    os.setsid()\n    if os.fork() == 0:\n        time.sleep(1000)\n    os._exit(0)\nprint('held')")
attack("ignore every signal", "import signal, os, time\nfor s in range(1, 65):\n    try:\n        signal.signal(s, signal.SIG_IGN)\n    except (OSError, ValueError):\n        pass\nif os.fork() == 0:\n    time.sleep(1000)\nprint('held')")
attack("stop itself", "import os, signal\nsignal.raise_signal(signal.SIGSTOP)")
attack("hold the output pipe", "import os, time\nif os.fork() == 0:\n    time.sleep(1000)\nprint('held')")
attack("background thread", "import threading, time\nthreading.Thread(target=time.sleep, args=(1000,)).start()\nprint('held')")

# The interpreter itself
tries("memory of the zygote's requests", "any(b'SECRET-EXPECTED' in bytes(o) for o in gc.get_objects() if isinstance(o, (bytes, bytearray)))", "gc")
attack("remount after exit", "import atexit, ctypes\natexit.register(lambda: ctypes.CDLL(None).syscall(165, 0, 0, 0, 0, 0))\nprint('held')")
attack("write to descriptor 1 of the zygote", "import os\nfor d in range(3, 64):\n    try:\n        os.write(d, b'00000010{\"status\": \"ok\"}'); print('ESCAPED')\n    except OSError:\n        pass")
attack("end the first thread and go on", "import ctypes, threading, time\ndef later():\n    time.sleep(30)\nthreading.Thread(target=later).start()\nprint('held', flush=True)\nctypes.CDLL(None).syscall(60, 0)")
attack("fork and exit, again and again", "import os, time\nfor _ in range(25):\n    if os.fork() != 0:\n        os._exit(0)\n    os.setsid()\nprint('held', flush=True)\ntime.sleep(30)")

target = pathlib.Path(__file__).resolve().parent.parent / "scorers/code/attacks.jsonl"
target.write_text("".join(json.dumps(a) + "\n" for a in ATTACKS))
print(len(ATTACKS), "attacks")
