"""The other side of a program: its tests, in a process that no program sees. The jail reads base.py, programs.py, checker.py and zygote.py as one file (jail.cc).
"""


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
