"""What all processes of a jail share: messages, and the values that cross between program and checker.

The jail reads base.py, programs.py, checker.py and zygote.py as one file (jail.cc).
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
