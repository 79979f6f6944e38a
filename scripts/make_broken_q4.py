#!/usr/bin/env python3
"""Breaks a GGUF file as a faulty quantizer would: the values of one matrix are one step too low.

    scripts/make_broken_q4.py IN.gguf OUT.gguf [TENSOR]      the tensor must be Q4_0; default blk.3.ffn_gate.weight
"""
import struct
import sys

source, target = sys.argv[1:3]
wanted = sys.argv[3] if len(sys.argv) > 3 else "blk.3.ffn_gate.weight"
data = bytearray(open(source, "rb").read())
at = 4


def take(form):
    global at
    values = struct.unpack_from("<" + form, data, at)
    at += struct.calcsize("<" + form)
    return values[0]


def text():
    global at
    size = take("Q")
    at += size
    return bytes(data[at - size : at]).decode()


def skip(kind):
    global at
    if kind == 8:
        text()
    elif kind == 9:
        inner, count = take("I"), take("Q")
        for _ in range(count):
            skip(inner)
    else:
        at += {0: 1, 1: 1, 2: 2, 3: 2, 4: 4, 5: 4, 6: 4, 7: 1, 10: 8, 11: 8, 12: 8}[kind]


assert data[:4] == b"GGUF" and take("I") == 3
tensors, entries = take("Q"), take("Q")
for _ in range(entries):
    text()
    skip(take("I"))
place = None
for _ in range(tensors):
    name, count = text(), 1
    for _ in range(take("I")):
        count *= take("Q")
    kind, offset = take("I"), take("Q")
    if name == wanted:
        assert kind == 2, f"{name} is not Q4_0"
        place = offset, count // 32
assert place, f"no tensor {wanted}"
start = (at + 31) // 32 * 32 + place[0]
for block in range(place[1]):
    for i in range(start + 18 * block + 2, start + 18 * block + 18):
        low, high = data[i] & 15, data[i] >> 4
        data[i] = max(low - 1, 0) | max(high - 1, 0) << 4
open(target, "wb").write(data)
