"""The first process of a jail: a warm interpreter that forks one program after the other.

It is process 1 of its namespace, so nothing inside can signal it, and kill(-1) ends everything that a program left.
Requests come on descriptor 0, answers go to descriptor 1: eight hex digits of length, then JSON. What a program must
not see (tests with their expected values) follows a request as a second part, which only the checker's process reads:
the zygote never holds it, so no program that is forked later finds it in its memory.
"""
import binascii
import builtins
import ctypes
import errno
import gc
import json
import json.decoder
import json.encoder
import json.scanner
import os
import resource
import select
import signal
import sys
import time

# What programs import most: done once. Every page of it is paid for at each fork, so what is seldom imported is not here.
import array, bisect, cmath, collections, copy, datetime, enum, functools, heapq, io, itertools, math, operator  # noqa
import random, re, string, typing  # noqa

# Names of their own for the builtins, which programs may replace, for all that serves a program's calls.
for _module in (sys.modules[__name__], json, json.encoder, json.decoder, json.scanner):
    for _name, _value in vars(builtins).items():
        if not _name.startswith("_"):
            vars(_module).setdefault(_name, _value)

REQUESTS, ANSWERS, CLEANER = 10, 11, 12  # where the jail's descriptors are kept
KEEP_STDERR_BYTES = 2000
# Where the jail is; a bare one shares the machine's process numbers, so that nothing may be signalled.
JAIL = os.environ.pop("ASSAY_JAIL")
BARE = os.environ.pop("ASSAY_BARE", "") == "1"
PROCESSES = int(os.environ.pop("ASSAY_PROCESSES"))
WORK = JAIL + "/work"

# Numbers of any length may be printed; what that costs counts as CPU time.
sys.set_int_max_str_digits(0) if hasattr(sys, "set_int_max_str_digits") else None

libc = ctypes.CDLL(None, use_errno=True)


class Filter(ctypes.Structure):
    _fields_ = [("length", ctypes.c_ushort), ("instructions", ctypes.c_void_p)]


with open(JAIL + "/filter.bpf", "rb") as file:
    _instructions = file.read()
_buffer = ctypes.create_string_buffer(_instructions, len(_instructions))
NO_EXECVE = Filter(len(_instructions) // 8, ctypes.cast(_buffer, ctypes.c_void_p))


def read_exactly(descriptor, count):
    parts = []
    while count > 0:
        part = os.read(descriptor, min(count, 1 << 20))
        if not part:
            return None
        parts.append(part)
        count -= len(part)
    return b"".join(parts)


def write_all(descriptor, data):
    view = memoryview(data)
    while view:
        view = view[os.write(descriptor, view):]


def read_message(descriptor):
    header = read_exactly(descriptor, 8)
    if header is None:
        return None
    body = read_exactly(descriptor, int(header, 16))
    return None if body is None else json.loads(body)


def read_one_message(descriptor):
    """The same where nothing follows until it is answered, in one read if it is short."""
    data = os.read(descriptor, 1 << 16)
    if not data:
        return None
    while len(data) < 8 or len(data) < 8 + int(data[:8], 16):
        part = os.read(descriptor, 1 << 20)
        if not part:
            return None
        data += part
    if len(data) != 8 + int(data[:8], 16):
        raise ValueError("more than one message")
    return json.loads(data[8:])


def write_message(descriptor, message):
    body = json.dumps(message).encode()
    write_all(descriptor, b"%08x" % len(body) + body)


def valid(text):
    """Without the lone surrogates that Python's texts may hold."""
    return str(text)[:300].encode("utf-8", "replace").decode()


# Values that cross between program and checker: plain types only, so that no object of a program's own class, with an
# equality of its own, reaches a comparison.
class ListNode:
    """LeetCode's linked list, which its programs take for given."""

    def __init__(self, val=0, next=None):
        self.val, self.next = val, next


LONGEST_LIST = 100_000
PLAIN = {int, float, str, bool, type(None)}
NESTED = {list, dict}
LONG = 1 << 63


def encode_int(value):
    # Decimal digits of a long integer cost the square of their number.
    return value if -LONG < value < LONG else {"i": hex(value)}


def is_plain(values):
    """Whether a list can go as it is: plain values, no long integers. Most are, and long, and are not walked."""
    kinds = set(map(type, values))
    if not kinds <= PLAIN:
        return False
    integers = values if kinds == {int} else [v for v in values if type(v) is int] if int in kinds else ()
    return not integers or (min(integers) > -LONG and max(integers) < LONG)


def encode(value):
    kind = type(value)
    if kind is int:
        return encode_int(value)
    if kind in PLAIN:
        return value
    if kind is list or kind is tuple:
        inner = list(value) if is_plain(value) else [encode(v) for v in value]
        return inner if kind is list else {"t": inner}
    if isinstance(value, int):
        return encode_int(int.__index__(value))
    if isinstance(value, float):
        return float.__float__(value)
    if isinstance(value, str):
        return str.__str__(value)
    if isinstance(value, list):
        return [encode(v) for v in list.__iter__(value)]
    if isinstance(value, tuple):
        return {"t": [encode(v) for v in tuple.__iter__(value)]}
    if isinstance(value, (set, frozenset)):
        return {"s": [encode(v) for v in value]}
    if isinstance(value, dict):
        return {"d": [[encode(k), encode(v)] for k, v in dict.items(value)]}
    if isinstance(value, complex):
        return {"c": [value.real, value.imag]}
    if isinstance(value, bytes):
        return {"b": bytes.hex(value)}
    if kind.__name__ == "ListNode":
        values = []
        while value is not None:
            values.append(encode(value.val))
            value = value.next
            if len(values) > LONGEST_LIST:
                raise ValueError("a linked list has no end")
        return {"n": values}
    if isinstance(value, (range, map, filter, zip, collections.deque, type({}.keys()), type({}.values()))):
        return [encode(v) for v in value]
    raise TypeError("a value of type " + kind.__name__ + " cannot leave the program")


def decode(value):
    if isinstance(value, list):
        return value if NESTED.isdisjoint(map(type, value)) else [decode(v) for v in value]
    if not isinstance(value, dict):
        return value
    (kind, inner), = value.items()
    if kind == "i":
        return int(inner, 16)
    if kind == "t":
        return tuple(decode(inner))
    if kind == "s":
        return set(decode(inner))
    if kind == "d":
        return {decode(k): decode(v) for k, v in inner}
    if kind == "c":
        return complex(*inner)
    if kind == "n":
        node = None
        for element in reversed(inner):
            node = ListNode(decode(element), node)
        return node
    return bytes.fromhex(inner)


def limit(request, checker):
    cpu_s = int(request["cpu_s"]) + (30 if checker else 0)
    memory = int(request["memory_bytes"])
    resource.setrlimit(resource.RLIMIT_CPU, (cpu_s, cpu_s + 1))
    resource.setrlimit(resource.RLIMIT_AS, (memory, memory))
    resource.setrlimit(resource.RLIMIT_FSIZE, (16 << 20, 16 << 20))
    resource.setrlimit(resource.RLIMIT_NOFILE, (64, 64))
    resource.setrlimit(resource.RLIMIT_NPROC, (PROCESSES, PROCESSES))


def enter(request, descriptors, checker=False):
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
    limit(request, checker)
    starts_programs = request["mode"] == "compile" or "binary" in request
    if not starts_programs and libc.prctl(22, 2, ctypes.byref(NO_EXECVE), 0, 0) != 0:
        os._exit(70)


def run_source(request, name):
    namespace = {"__name__": name, "__builtins__": builtins, "ListNode": ListNode}
    sys.argv = ["program.py"]
    exec(compile(request["source"], "program.py", "exec"), namespace)
    return namespace


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
    while True:
        call = read_one_message(3)
        if call is None:
            os._exit(0)
        try:
            function = getattr(entry(), call["method"]) if call["method"] else entry
            result = function(*decode(call["arguments"]), **decode(call["named"]))
            reply = {"value": encode(result)}
        except BaseException as error:
            reply = {"raised": type(error).__name__, "failed": failure_of(error), "detail": str(error)[:200]}
        write(reply)


class ProgramEnded(BaseException):
    """`status` may come from the program, so only what means a failure is taken."""

    def __init__(self, status, detail):
        self.status = status if status in ("ended", "memory") else "exception"
        self.detail = valid(detail)


class Remote:
    """The program's function as the checker calls it, or its class: Remote()().method(…)."""

    def __init__(self):
        self.ready = False

    def object(self):
        """An object of the program's class; each call of a method makes a new one."""
        remote = self

        class Methods:
            def __getattr__(self, method):
                return lambda *arguments, **named: remote.call(method, arguments, named)

        return Methods()

    def receive(self):
        message = read_one_message(3)
        if message is None:
            raise ProgramEnded("ended", "the program ended before its tests did")
        if not isinstance(message, dict):
            raise ProgramEnded("exception", "the program wrote into its results")
        if "failed" in message and "raised" not in message:
            raise ProgramEnded(message["failed"], message.get("detail", ""))
        return message

    def __call__(self, *arguments, **named):
        return self.call("", arguments, named)

    def call(self, method, arguments, named):
        if not self.ready:
            self.receive()
            self.ready = True
        body = json.dumps({"method": method, "arguments": encode(list(arguments)), "named": encode(named)}).encode()
        try:
            write_all(4, b"%08x" % len(body) + body)
        except OSError:
            raise ProgramEnded("ended", "the program ended before its tests did")
        reply = self.receive()
        if "value" in reply:
            return decode(reply["value"])
        if reply["failed"] != "exception":
            raise ProgramEnded(reply["failed"], reply["raised"])
        kind = getattr(builtins, reply["raised"], Exception)
        if not (isinstance(kind, type) and issubclass(kind, Exception)):
            kind = Exception
        raise kind(valid(reply["detail"]))


def close_enough(out, expected, tolerance):
    """EvalPlus's comparison: equal, or for numbers |out - expected| <= atol + 1e-7·|expected|."""
    def all_floats(value):
        if isinstance(value, float):
            return True
        return isinstance(value, (list, tuple)) and len(value) > 0 and all(isinstance(v, float) for v in value)

    if out == expected:
        return True
    if tolerance == 0 and all_floats(expected):
        tolerance = 1e-6
    if tolerance == 0:
        return False

    def near(a, b):
        if isinstance(a, (list, tuple)) and isinstance(b, (list, tuple)):
            return len(a) == len(b) and all(near(x, y) for x, y in zip(a, b))
        if not isinstance(a, (int, float, complex)) or not isinstance(b, (int, float, complex)):
            return a == b
        return a == b or abs(a - b) <= tolerance + 1e-7 * abs(b)

    return near(out, expected)


def listed(value):
    """Tuples as lists, as LiveCodeBench compares what a function returned with JSON."""
    if isinstance(value, (list, tuple)):
        return [listed(v) for v in value]
    return value


def check(request, part):
    """The tests against the program; what the verdict says is nothing of what they expect."""
    remote = Remote()
    if request["mode"] == "assertions":
        namespace = {"__name__": "test", "ListNode": ListNode}
        try:
            prompt = compile(part["prompt"], "prompt.py", "exec")
        except SyntaxError:  # a head without a docstring
            prompt = compile(part["prompt"] + "    pass\n", "prompt.py", "exec")
        exec(prompt, namespace)
        namespace[request["entry"]] = remote.object if part.get("class") else remote
        exec(compile(part["test"], "test.py", "exec"), namespace)
        if part.get("call", True):
            namespace["check"](remote)
        return {"status": "ok"}
    outputs = []
    plain = part.get("plain_expected")
    inputs = [arguments for several in part["inputs"] for arguments in several]
    for i, arguments in enumerate(inputs):
        out = remote(*arguments)
        if request["mode"] == "reference":
            outputs.append(json.dumps(encode(out)))
            continue
        if part.get("oracle") == "find_zero":
            passed = abs(sum(c * out ** k for k, c in enumerate(*arguments))) <= part["tolerance"]
        elif plain is not None:
            passed = listed(out) == listed(plain[i])
        elif isinstance(part["expected"][i], dict) and "sha256" in part["expected"][i]:
            # Of a long value there is only the hash; a value that is equal in another form needs more.
            import hashlib
            if hashlib.sha256(json.dumps(encode(out)).encode()).hexdigest() != part["expected"][i]["sha256"]:
                return {"status": "unsure"}
            passed = True
        else:
            passed = close_enough(out, decode(part["expected"][i]), part["tolerance"])
        if not passed:
            return {"status": "wrong", "detail": "test %d of %d" % (i + 1, len(inputs))}
    return {"status": "ok", "outputs": outputs} if request["mode"] == "reference" else {"status": "ok"}


def checker(request, part_bytes):
    """Descriptors: 3 and 4 to the program, 5 the requests' second part, 6 the verdict, 7 the answers."""
    try:
        part = json.loads(read_exactly(5, part_bytes))
        os.close(5)
        write_all(6, b"r")
        verdict = check(request, part)
        if request["mode"] == "reference":
            # What tests expect goes past the zygote, which must not hold it.
            write_message(7, verdict)
            verdict = {"status": "silent"}
    except ProgramEnded as ended:
        verdict = {"status": ended.status, "detail": ended.detail}
    except AssertionError:
        verdict = {"status": "wrong", "detail": "an assertion failed"}
    except MemoryError:
        verdict = {"status": "memory", "detail": "the checker"}
    except BaseException as error:
        verdict = {"status": "exception", "detail": type(error).__name__}
    body = json.dumps(verdict).encode()
    write_all(6, b"%08x" % len(body) + body)
    os._exit(0)


def forked(request, descriptors, work, is_checker=False):
    pid = os.fork()
    if pid != 0:
        return pid
    try:
        enter(request, descriptors, is_checker)
        work()
    finally:
        os._exit(70)


class Run:
    """One request from its first process to the last one's end."""

    def __init__(self, request):
        self.request = request
        self.descriptors = []
        self.ends = {}  # wait status and resource usage by process
        self.cpu_s = 0  # of the program and all that it started
        self.output, self.errors, self.result = bytearray(), bytearray(), bytearray()
        self.status = None  # what ended it from outside: wall, output

    def pipe(self):
        pair = os.pipe()
        self.descriptors += pair
        return pair

    def close(self, *which):
        for descriptor in which:
            if descriptor in self.descriptors:
                self.descriptors.remove(descriptor)
                os.close(descriptor)

    def start(self):
        request = self.request
        null = os.open("/dev/null", os.O_RDWR)
        self.descriptors.append(null)
        self.out, out_write = self.pipe()
        self.err, err_write = self.pipe()
        self.result_read = self.feed = None
        self.pending = b""
        self.checker = None
        if request["mode"] in ("stdin", "compile"):
            in_read, self.feed = self.pipe()
            self.pending = request.get("stdin", "").encode("utf-8", "replace")
            work = (compiler if request["mode"] == "compile" else
                    binary_program if "binary" in request else plain_program)
            self.program = forked(request, [in_read, out_write, err_write], lambda: work(request))
            self.close(in_read)
            os.set_blocking(self.feed, False)
        else:
            to_read, to_write = self.pipe()
            from_read, from_write = self.pipe()
            self.result_read, result_write = self.pipe()
            # The checker has its part before the program runs, which could end it on the way.
            self.checker = forked(
                request, [null, null, null, from_read, to_write, REQUESTS, result_write, ANSWERS],
                lambda: checker(request, request["part_bytes"]), is_checker=True)
            if os.read(self.result_read, 1) != b"r":
                os._exit(73)
            self.program = forked(request, [null, out_write, err_write, to_read, from_write],
                                  lambda: called_program(request))
            self.close(to_read, to_write, from_read, from_write, result_write)
        self.close(out_write, err_write)

    def reap(self, block=False):
        while True:
            try:
                pid, status, usage = os.wait4(-1, 0 if block else os.WNOHANG)
            except ChildProcessError:
                return
            if pid == 0:
                return
            if pid != self.checker:
                self.cpu_s += usage.ru_utime + usage.ru_stime
            if pid in (self.program, self.checker):
                self.ends[pid] = (status, usage)

    def take(self, descriptor, poller):
        part = os.read(descriptor, 1 << 16)
        if not part:
            poller.unregister(descriptor)
            return False
        if descriptor == self.out:
            self.output += part
            if len(self.output) > self.request["output_bytes"]:
                self.status = "output"
        elif descriptor == self.err:
            self.errors += part
            del self.errors[:-KEEP_STDERR_BYTES]
        else:
            self.result += part
        return True

    def has_result(self):
        return len(self.result) > 8 and len(self.result) >= 8 + int(self.result[:8], 16)

    def feed_input(self, poller):
        try:
            written = os.write(self.feed, self.pending[:1 << 16])
            self.pending = self.pending[written:]
        except BlockingIOError:
            return
        except OSError:
            self.pending = b""
        if not self.pending:
            poller.unregister(self.feed)
            self.close(self.feed)
            self.feed = None

    def wait(self):
        begun = time.monotonic()
        poller = select.poll()
        reads = [d for d in (self.out, self.err, self.result_read) if d is not None]
        for descriptor in reads:
            poller.register(descriptor, select.POLLIN)
        if self.feed is not None:
            if self.pending:
                poller.register(self.feed, select.POLLOUT)
            else:
                self.close(self.feed)
                self.feed = None
        main = self.checker or self.program
        ended = os.pidfd_open(main)
        self.descriptors.append(ended)
        poller.register(ended, select.POLLIN)
        poller.register(REQUESTS, 0)  # only that it hangs up
        while self.status is None and main not in self.ends and not self.has_result():
            left = begun + self.request["wall_s"] - time.monotonic()
            if left <= 0:
                self.status = "wall"
                break
            for descriptor, events in poller.poll(min(left, 5) * 1000):
                if descriptor == REQUESTS:
                    os._exit(0)
                if descriptor == ended:
                    self.reap()
                elif descriptor == self.feed:
                    self.feed_input(poller)
                elif descriptor in reads:
                    self.take(descriptor, poller)
        self.wall_s = time.monotonic() - begun
        self.finish(poller, reads)

    def finish(self, poller, reads):
        """Everything that is left ends; what it had written is still read."""
        # The program's own end tells more than that it was killed here, if it has one.
        if self.status is None and self.program not in self.ends:
            self.reap()
        self.killed_here = self.program not in self.ends
        if BARE:
            ask_keeper(b"k")
        else:
            try:
                os.kill(-1, signal.SIGKILL)
            except ProcessLookupError:
                pass
        self.reap(block=True)
        for descriptor in reads:
            os.set_blocking(descriptor, False)
            try:
                while self.status != "output" and self.take(descriptor, poller):
                    pass
            except (BlockingIOError, KeyError):
                pass
        for descriptor in list(self.descriptors):
            self.close(descriptor)

    def keep_binary(self):
        self.binary = ""
        if self.request["mode"] == "compile":
            try:
                with open(WORK + "/program", "rb") as file:
                    self.binary = binascii.b2a_base64(file.read(16 << 20), newline=False).decode()
            except OSError:
                pass

    def verdict(self):
        status = self.ends[self.program][0]
        answer = {"cpu_s": self.cpu_s, "wall_s": self.wall_s, "detail": ""}
        signal_number = os.WTERMSIG(status) if os.WIFSIGNALED(status) else 0
        if self.status is not None:
            answer["status"] = self.status
        elif self.cpu_s >= self.request["cpu_s"] + 1:
            answer["status"] = "cpu"  # each process has the limit, all of them together have it too
        # What is killed here is killed by SIGKILL; these came before, whoever was seen to end first.
        elif signal_number == signal.SIGXCPU:
            answer["status"] = "cpu"
        elif signal_number == signal.SIGSYS:
            answer["status"] = "forbidden"
        elif not self.killed_here and signal_number:
            used_up = signal_number == signal.SIGKILL and answer["cpu_s"] >= self.request["cpu_s"]
            answer["status"] = "cpu" if used_up else "crash"
            answer["detail"] = signal.Signals(signal_number).name
        elif self.checker is not None:
            # Nobody but the program can have ended a checker that has no verdict.
            answer.update(json.loads(self.result[8:]) if len(self.result) > 8 else
                          {"status": "forbidden", "detail": "the checker was killed"})
        elif self.request["mode"] == "compile" and os.WEXITSTATUS(status) == NO_COMPILER:
            answer["status"] = "unscored"
        elif os.WEXITSTATUS(status) == 71:
            answer["status"] = "memory"
        else:
            answer["status"] = "ok" if os.WEXITSTATUS(status) == 0 else "exception"
            # The last line of a traceback says what happened.
            answer["detail"] = (self.errors.decode("utf-8", "replace").strip().split("\n")[-1])[:300]
        if self.request["mode"] == "compile":
            answer["binary"] = self.binary
            answer["detail"] = self.errors.decode("utf-8", "replace")[:1000] if answer["status"] != "ok" else ""
            if answer["status"] == "unscored":
                answer["detail"] = "there is no /usr/bin/g++ on this machine"
        elif self.checker is None:
            answer["stdout"] = self.output.decode("utf-8", "replace")
        return answer


def ask_keeper(what):
    """The jail's parent: "c" gives the next program an empty folder, "k" ends what a program left."""
    os.write(CLEANER, what)
    if os.read(CLEANER, 1) != what:
        os._exit(72)


def main():
    os.dup2(0, REQUESTS, inheritable=False)
    os.dup2(1, ANSWERS, inheritable=False)
    os.dup2(3, CLEANER, inheritable=False)
    null = os.open("/dev/null", os.O_RDWR)
    for descriptor in (0, 1, 2, 3):
        os.dup2(null, descriptor)
    os.close(null)
    os.close(3)
    gc.collect()
    gc.freeze()
    write_message(ANSWERS, {"status": "ready", "python": sys.version.split()[0]})
    while True:
        request = read_message(REQUESTS)
        if request is None:
            os._exit(0)
        run = Run(request)
        run.start()
        request.pop("source", None)
        request.pop("stdin", None)
        run.wait()
        run.keep_binary()
        os.chdir("/")
        ask_keeper(b"c")
        answer = run.verdict()
        if answer["status"] != "silent":
            write_message(ANSWERS, answer)


main()
