"""What a forked process becomes: a program, or the compiler of one. The jail reads base.py, programs.py, checker.py and zygote.py as one file (jail.cc).
"""


def limit(request):
    cpu_s = int(request["cpu_s"])
    memory = int(request["memory_bytes"])
    resource.setrlimit(resource.RLIMIT_CPU, (cpu_s, cpu_s + 1))
    resource.setrlimit(resource.RLIMIT_AS, (memory, memory))
    limit_files_and_processes()


def limit_files_and_processes():
    resource.setrlimit(resource.RLIMIT_FSIZE, (16 << 20, 16 << 20))
    resource.setrlimit(resource.RLIMIT_NOFILE, (64, 64))
    resource.setrlimit(resource.RLIMIT_NPROC, (PROCESSES, PROCESSES))


def deny_programs_and_signals():
    if libc.prctl(22, 2, ctypes.byref(NO_EXECVE), 0, 0) != 0:
        os._exit(70)


def enter(request, descriptors):
    """A forked child becomes what it is for: only the given descriptors, as 0, 1, 2, … in their order.

    What is compiled starts programs: the compiler its parts, a binary itself. Neither has anything to call or to kill but
    what is its own.
    """
    signal.set_wakeup_fd(-1)
    held = [os.dup2(d, 100 + i) for i, d in enumerate(descriptors)]
    for i, d in enumerate(held):
        os.dup2(d, i)
    os.closerange(len(held), 256)
    os.chdir(WORK)
    os.setsid()
    limit(request)
    starts_programs = request["mode"] == "compile" or "binary" in request
    if not starts_programs:
        deny_programs_and_signals()


def run_source(request, name):
    namespace = {"__name__": name, "__builtins__": builtins, "ListNode": ListNode}
    sys.argv = ["program.py"]
    exec(request["code"] or compile(request["source"], "program.py", "exec"), namespace)
    return namespace


def compile_early(request):
    """Code of short programs: the zygote's compiler is warm, that of a new process must touch every page of it first.
    What is not to be compiled fails again where it belongs."""
    request["code"] = None
    if request["mode"] == "compile" or "binary" in request or not request["foresee"]:
        return
    if len(request["source"]) > LONGEST_COMPILED_EARLY:
        return
    try:
        request["code"] = compile(request["source"], "program.py", "exec")
    except BaseException:
        pass


def failure_of(error):
    if isinstance(error, MemoryError):
        return "memory"
    return "ended" if isinstance(error, SystemExit) else "exception"


def plain_program(request):
    """Reads standard input, writes standard output."""
    try:
        run_source(request, "__main__")
        sys.stdout.flush()
        code = 0
    except SystemExit as error:
        try:
            sys.stdout.flush()
        except Exception:
            pass
        code = error.code if isinstance(error.code, int) else 0 if error.code is None else 1
    except MemoryError:
        code = 71
    except BaseException:
        try:
            sys.stdout.flush()
            import traceback
            traceback.print_exc()
            sys.stderr.flush()
        except BaseException:
            pass
        code = 1
    os._exit(code & 255)


NO_COMPILER = 74


def compiler(request):
    if not os.path.exists("/usr/bin/g++"):
        os._exit(NO_COMPILER)
    with open(WORK + "/program.cc", "w", encoding="utf-8", errors="replace") as file:
        file.write(request["source"])
    os.execv("/usr/bin/g++", ["g++", "-O2", "-std=c++20", "-o", WORK + "/program", WORK + "/program.cc"])


def binary_program(request):
    with open(WORK + "/program", "wb") as file:
        file.write(binascii.a2b_base64(request["binary"]))
    os.chmod(WORK + "/program", 0o700)
    os.execv(WORK + "/program", ["program"])


def called_program(request):
    """Defines a function, then answers calls of it: requests on descriptor 3, answers on 4."""
    def write(message):
        write_message(4, message)

    try:
        namespace = run_source(request, "program")
        entry = namespace.get(request["entry"])
        if entry is None and "Solution" in namespace:
            entry = getattr(namespace["Solution"](), request["entry"], None)
        if not callable(entry):
            write({"failed": "exception", "detail": "there is no function " + request["entry"]})
            os._exit(0)
        write({"ready": True})
    except BaseException as error:
        write({"failed": failure_of(error), "detail": type(error).__name__ + ": " + str(error)[:200]})
        os._exit(0)
    calls = Messages(3)
    for number in itertools.count(1):
        call = calls.next()
        if call is None:
            os._exit(0)
        try:
            function = getattr(entry(), call["method"]) if call["method"] else entry
            result = function(*decode(call["arguments"]), **decode(call["named"]))
            reply = {"number": number, "value": encode(result)}
        except BaseException as error:
            reply = {"number": number, "raised": type(error).__name__, "failed": failure_of(error), "detail": str(error)[:200]}
        write(reply)
