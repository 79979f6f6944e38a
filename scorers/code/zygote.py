"""The first process of a jail: a warm interpreter that forks one program after the other.

It is process 1 of its namespace, so nothing inside can signal it, and kill(-1) ends everything that a program left.
Requests come on descriptor 0, answers go to descriptor 1: eight hex digits of length, then JSON. What a program must
not see (tests with their expected values) follows a request as a second part, which only the checker reads: the same
file as a process of its own beside the zygote (ASSAY_ROLE), in another namespace. The zygote never holds it, so no
program that is forked later finds it in its memory.

The jail reads base.py, programs.py, checker.py and zygote.py as one file (jail.cc).
"""


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
