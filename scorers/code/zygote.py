"""The first process of a jail: a warm interpreter that forks one program after the other.

It is process 1 of its namespace, so nothing inside can signal it, and kill(-1) ends everything that a program left.
Requests come on descriptor 0, answers go to descriptor 1: eight hex digits of length, then JSON. What a program must
not see (tests with their expected values) follows a request as a second part, which only the checker reads: the same
file as a process of its own beside the zygote (ASSAY_ROLE), in another namespace. The zygote never holds it, so no
program that is forked later finds it in its memory.
"""
import _socket
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
import warnings

# What programs import most: done once. Every page of it is paid for at each fork, so what is seldom imported is not here.
import array, bisect, cmath, collections, copy, datetime, enum, functools, heapq, io, itertools, math, operator  # noqa
import random, re, string, typing  # noqa

# Names of their own for the builtins, which programs may replace, for all that serves a program's calls.
for _module in (sys.modules[__name__], json, json.encoder, json.decoder, json.scanner):
    for _name, _value in vars(builtins).items():
        if not _name.startswith("_"):
            vars(_module).setdefault(_name, _value)

REQUESTS, ANSWERS, CLEANER, PARTNER = 10, 11, 12, 13  # where the jail's descriptors are kept
KEEP_STDERR_BYTES = 2000
# Where the jail is; a bare one shares the machine's process numbers, so that nothing may be signalled.
JAIL = os.environ.pop("ASSAY_JAIL")
BARE = os.environ.pop("ASSAY_BARE", "") == "1"
IS_CHECKER = os.environ.pop("ASSAY_ROLE", "") == "checker"
PROCESSES = int(os.environ.pop("ASSAY_PROCESSES"))
WORK = JAIL + "/work"

# Compiling a program says nothing to the zygote.
warnings.simplefilter("ignore", SyntaxWarning)
warnings.simplefilter("ignore", DeprecationWarning)

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


class Messages:
    """Messages that may come several at a time."""

    def __init__(self, descriptor):
        self.descriptor, self.data = descriptor, b""

    def next(self):
        parts, count, size = [self.data], len(self.data), None
        while size is None or count < size:
            if size is None and count >= 8:
                self.data = b"".join(parts)
                parts, size = [self.data], 8 + int(self.data[:8], 16)
                continue
            part = os.read(self.descriptor, 1 << 16)
            if not part:
                return None
            parts.append(part)
            count += len(part)
        data = b"".join(parts)
        self.data = data[size:]
        return json.loads(data[8:size])


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
LONGEST_COMPILED_EARLY = 16_384
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


class ProgramEnded(BaseException):
    """`status` may come from the program, so only what means a failure is taken."""

    def __init__(self, status, detail):
        self.status = status if status in ("ended", "memory") else "exception"
        self.detail = valid(detail)


def call_body(method, arguments, named):
    return json.dumps({"method": method, "arguments": encode(list(arguments)), "named": encode(named)}).encode()


class NotForeseen(BaseException):
    """A call was sent that is not the one which tests make; the program is to be run again without."""


class Remote:
    """The program's function as the checker calls it, or its class: Remote(…).object().method(…)."""

    # What may be on the way without a pipe being full.
    AHEAD_BYTES = 32768

    def __init__(self, read, write):
        self.answers, self.write = Messages(read), write
        self.ready, self.calls = False, 0
        self.foreseen = iter(())
        self.ahead, self.ahead_bytes = collections.deque(), 0
        self.next = None

    def foresee(self, bodies):
        """Calls that will be made in this order, whatever is answered: they are sent before their turn, so that the
        program need not wait between them."""
        self.foreseen = iter(bodies)
        self.next = next(self.foreseen, None)
        self.send_ahead()

    def send_ahead(self):
        data = b""
        while self.next is not None and (not self.ahead or self.ahead_bytes + len(self.next) < self.AHEAD_BYTES):
            self.ahead.append(self.next)
            self.ahead_bytes += len(self.next)
            data += b"%08x" % len(self.next) + self.next
            self.next = next(self.foreseen, None)
        if data:
            self.send(data)

    def send(self, data):
        try:
            write_all(self.write, data)
        except OSError:
            raise ProgramEnded("ended", "the program ended before its tests did")

    def object(self):
        """An object of the program's class; each call of a method makes a new one."""
        remote = self

        class Methods:
            def __getattr__(self, method):
                return lambda *arguments, **named: remote.call(method, arguments, named)

        return Methods()

    def receive(self):
        try:
            message = self.answers.next()
        except ValueError:
            raise ProgramEnded("exception", "the program wrote into its results")
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
        body = call_body(method, arguments, named)
        if self.ahead:
            if self.ahead.popleft() != body:
                raise NotForeseen
            self.ahead_bytes -= len(body)
            self.send_ahead()
        else:
            self.send(b"%08x" % len(body) + body)
        self.calls += 1
        reply = self.receive()
        if reply.get("number") != self.calls:
            raise ProgramEnded("exception", "the program wrote into its results")
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


def compiled(part):
    """A test and what stands before it, as code."""
    try:
        prompt = compile(part["prompt"], "prompt.py", "exec")
    except SyntaxError:  # a head without a docstring
        prompt = compile(part["prompt"] + "    pass\n", "prompt.py", "exec")
    return prompt, compile(part["test"], "test.py", "exec")


def foreseeable_calls(test, entry):
    """The first calls of what `check` is given, or of the same by its own name, as far as they are made whatever comes of
    them: one in a statement, of values that are written there."""
    import ast
    checks = [f for f in ast.parse(test).body if isinstance(f, ast.FunctionDef) and f.name == "check"]
    if len(checks) != 1 or len(checks[0].args.args) != 1 or checks[0].decorator_list:
        return ()
    names = (checks[0].args.args[0].arg, entry)
    bodies = []
    for statement in checks[0].body:
        nodes = list(ast.walk(statement))
        named = [n for n in nodes if isinstance(n, ast.Name) and n.id in names]
        if any(isinstance(n, (ast.BoolOp, ast.IfExp, ast.Lambda, ast.comprehension, ast.NamedExpr)) or
               isinstance(n, ast.Compare) and len(n.ops) > 1 for n in nodes):
            break
        if not isinstance(statement, (ast.Assert, ast.Expr, ast.Assign, ast.Import, ast.ImportFrom, ast.Pass)):
            break
        if not named:
            continue
        calls = [n for n in nodes if isinstance(n, ast.Call) and n.func in named]
        in_test = isinstance(statement, ast.Assert) and calls and calls[0] in ast.walk(statement.test)
        if len(named) != 1 or len(calls) != 1 or not in_test:
            break
        try:
            arguments = [ast.literal_eval(a) for a in calls[0].args]
            keywords = {k.arg: ast.literal_eval(k.value) for k in calls[0].keywords}
        except ValueError:
            break
        if None in keywords:  # **{…}
            break
        bodies.append(call_body("", arguments, keywords))
    return bodies


class Tests:
    """The second part of a request: what is expected of a program."""

    def __init__(self, request, data):
        self.of = (request["entry"], data)
        self.part = json.loads(data)
        self.code, self.calls = None, ()
        if "test" in self.part:
            self.code = compiled(self.part)
            if self.part.get("call", True) and not self.part.get("class"):
                self.calls = foreseeable_calls(self.part["test"], request["entry"])


def check(request, tests, remote):
    """The tests against the program; what the verdict says is nothing of what they expect."""
    part = tests.part
    if request["mode"] == "assertions":
        namespace = {"__name__": "test", "ListNode": ListNode}
        exec(tests.code[0], namespace)
        namespace[request["entry"]] = remote.object if part.get("class") else remote
        exec(tests.code[1], namespace)
        if part.get("call", True):
            if request["foresee"]:
                remote.foresee(tests.calls)
            namespace["check"](remote)
        return {"status": "ok"}
    outputs = []
    plain = part.get("plain_expected")
    inputs = [arguments for several in part["inputs"] for arguments in several]
    if request["foresee"]:
        remote.foresee(call_body("", arguments, {}) for arguments in inputs)
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


def checked(request, data, last, remote):
    """The verdict, and the tests for the next program, which is often asked the same."""
    tests = None
    try:
        tests = last if last is not None and last.of == (request["entry"], data) else Tests(request, data)
        return check(request, tests, remote), tests
    except ProgramEnded as ended:
        return {"status": ended.status, "detail": ended.detail}, tests
    except NotForeseen:
        return {"status": "not foreseen"}, tests
    except AssertionError:
        return {"status": "wrong", "detail": "an assertion failed"}, tests
    except MemoryError:
        return {"status": "memory", "detail": "the checker"}, None
    except BaseException as error:
        return {"status": "exception", "detail": type(error).__name__}, tests


def checker():
    """Lives for many programs: a request and the two ends of a program's pipes come from the zygote, the tests from its
    supervisor, and a verdict goes back."""
    libc.prctl(4, 0, 0, 0, 0)  # not dumpable: in a bare jail programs have the same user, and may have /proc
    limit_files_and_processes()
    deny_programs_and_signals()
    tests = None
    while True:
        descriptors = array.array("i")
        header, ancillary, _, _ = partner.recvmsg(8, _socket.CMSG_SPACE(2 * descriptors.itemsize))
        if not header:
            os._exit(0)
        for _, _, bytes_of in ancillary:
            descriptors.frombytes(bytes_of)
        request = json.loads(read_exactly(PARTNER, int(header, 16)))
        data = read_exactly(REQUESTS, request["part_bytes"])
        write_all(PARTNER, b"r")
        resource.setrlimit(resource.RLIMIT_AS, (int(request["memory_bytes"]), resource.RLIM_INFINITY))
        verdict, tests = checked(request, data, tests, Remote(*descriptors))
        del data
        resource.setrlimit(resource.RLIMIT_AS, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
        for descriptor in descriptors:
            os.close(descriptor)
        if request["mode"] == "reference":
            # What tests expect goes past the zygote, which must not hold it.
            write_message(ANSWERS, verdict)
            verdict = {"status": "silent"}
        write_message(PARTNER, verdict)


def forked(request, descriptors, work):
    pid = os.fork()
    if pid != 0:
        return pid
    try:
        enter(request, descriptors)
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
        self.feed = None
        self.pending = b""
        self.is_checked = request["mode"] not in ("stdin", "compile")
        if not self.is_checked:
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
            # The checker has its part before the program runs.
            ask_checker(request, [from_read, to_write])
            self.program = forked(request, [null, out_write, err_write, to_read, from_write],
                                  lambda: called_program(request))
            self.close(to_read, to_write, from_read, from_write)
        self.close(out_write, err_write)

    def reap(self, block=False):
        while True:
            try:
                pid, status, usage = os.wait4(-1, 0 if block else os.WNOHANG)
            except ChildProcessError:
                return
            if pid == 0:
                return
            self.cpu_s += usage.ru_utime + usage.ru_stime
            if pid == self.program:
                self.ends[pid] = (status, usage)

    def take(self, descriptor, poller):
        part = os.read(descriptor, 1 << 16)
        if not part:
            if descriptor == PARTNER:
                os._exit(73)
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
        reads = [self.out, self.err] + [PARTNER] * self.is_checked
        for descriptor in reads:
            poller.register(descriptor, select.POLLIN)
        if self.feed is not None:
            if self.pending:
                poller.register(self.feed, select.POLLOUT)
            else:
                self.close(self.feed)
                self.feed = None
        ended = None
        if not self.is_checked:  # else the checker sees that the program ended
            ended = os.pidfd_open(self.program)
            self.descriptors.append(ended)
            poller.register(ended, select.POLLIN)
        poller.register(REQUESTS, 0)  # only that it hangs up
        while self.status is None and (not self.has_result() if self.is_checked else self.program not in self.ends):
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
        if self.is_checked:
            self.await_checker(poller)
            reads.remove(PARTNER)
        for descriptor in reads:
            os.set_blocking(descriptor, False)
            try:
                while self.status != "output" and self.take(descriptor, poller):
                    pass
            except (BlockingIOError, KeyError):
                pass
        for descriptor in list(self.descriptors):
            self.close(descriptor)

    def await_checker(self, poller):
        """A checker whose program is gone has a verdict soon, or computes and is replaced."""
        until = time.monotonic() + 1
        while not self.has_result():
            left = until - time.monotonic()
            if left <= 0:
                ask_keeper(b"x")
                forget_checker()
                return
            for descriptor, _ in poller.poll(left * 1000):
                if descriptor == PARTNER:
                    self.take(PARTNER, poller)
                else:
                    poller.unregister(descriptor)

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
        # What is killed here is killed by SIGKILL; others came before, whoever was seen to end first.
        elif signal_number == signal.SIGXCPU:
            answer["status"] = "cpu"
        elif signal_number == signal.SIGSYS:
            answer["status"] = "forbidden"
        elif signal_number and (signal_number != signal.SIGKILL or not self.killed_here):
            used_up = signal_number == signal.SIGKILL and answer["cpu_s"] >= self.request["cpu_s"]
            answer["status"] = "cpu" if used_up else "crash"
            answer["detail"] = signal.Signals(signal_number).name
        elif self.is_checked:
            answer.update(json.loads(self.result[8:]))
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
        elif not self.is_checked:
            answer["stdout"] = self.output.decode("utf-8", "replace")
        return answer


def ask_keeper(what):
    """The jail's parent: "c" gives the next program an empty folder, "k" ends what a program left, "x" starts a checker
    in the place of the one before."""
    os.write(CLEANER, what)
    if os.read(CLEANER, 1) != what:
        os._exit(72)


has_checker = False


def is_untouched():
    """Whether the folder has nothing in it, not even what has no name any more: most programs leave it so."""
    used = os.statvfs(WORK)
    return (used.f_files - used.f_ffree == 1 and used.f_blocks == used.f_bfree and
            os.stat(WORK).st_mode == WORK_MODE)


def forget_checker():
    """What the one before had said is nobody's."""
    os.set_blocking(PARTNER, False)
    try:
        while os.read(PARTNER, 1 << 16):
            pass
    except BlockingIOError:
        pass
    os.set_blocking(PARTNER, True)


def ask_checker(request, descriptors):
    global has_checker
    if not has_checker:
        ask_keeper(b"x")
        has_checker = True
    body = json.dumps({name: request[name] for name in ("mode", "entry", "foresee", "part_bytes", "memory_bytes")}).encode()
    partner.sendmsg([b"%08x" % len(body)],
                    [(_socket.SOL_SOCKET, _socket.SCM_RIGHTS, array.array("i", descriptors))])
    write_all(PARTNER, body)
    if os.read(PARTNER, 1) != b"r":
        os._exit(73)


def main():
    os.dup2(0, REQUESTS, inheritable=False)
    os.dup2(1, ANSWERS, inheritable=False)
    os.dup2(3, CLEANER, inheritable=False)
    os.dup2(4, PARTNER, inheritable=False)
    null = os.open("/dev/null", os.O_RDWR)
    for descriptor in (0, 1, 2, 3, 4):
        os.dup2(null, descriptor)
    os.close(null)
    os.close(3)
    os.close(4)
    global partner
    partner = _socket.socket(fileno=PARTNER)
    gc.collect()
    gc.freeze()
    if IS_CHECKER:
        checker()
    global WORK_MODE
    WORK_MODE = os.stat(WORK).st_mode
    write_message(ANSWERS, {"status": "ready", "python": sys.version.split()[0]})
    while True:
        request = read_message(REQUESTS)
        if request is None:
            os._exit(0)
        compile_early(request)
        run = Run(request)
        run.start()
        request.pop("source", None)
        request.pop("code", None)
        request.pop("stdin", None)
        run.wait()
        run.keep_binary()
        os.chdir("/")
        if BARE or not is_untouched():
            ask_keeper(b"c")
        answer = run.verdict()
        if answer["status"] != "silent":
            write_message(ANSWERS, answer)


main()
