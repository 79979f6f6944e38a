#!/usr/bin/env python3
"""A chat server that answers from the request alone, and fails on purpose.

    fault_server.py PORT_FILE [FAULTS] [DIES_AFTER]

FAULTS: names by commas of what it does instead of answering, in turn with answers: 429, 500, reset, garbage, shape,
hang, slow; few (one choice of several that are asked for); of streams cut (ends before the answer does) and endless. It writes its port into PORT_FILE and exits by itself after DIES_AFTER requests, and after two minutes.
"""
import hashlib
import json
import os
import socket
import struct
import sys
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

faults = [name for name in sys.argv[2].split(",") if name] if len(sys.argv) > 2 else []
dies_after = int(sys.argv[3]) if len(sys.argv) > 3 else 0
lock = threading.Lock()
count = 0


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def log_message(self, *arguments):
        pass

    def reply(self, status, body, headers=()):
        data = body if isinstance(body, bytes) else json.dumps(body).encode()
        self.send_response(status)
        for name, value in headers:
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        try:
            self.wfile.write(data)
        except OSError:
            pass  # who asked has gone

    def do_GET(self):
        if os.environ.get("FAULT_SERVER_KEY") not in (None, self.headers.get("Authorization")):
            return self.reply(401, {"error": {"message": "no such key"}})
        self.reply(200, {"data": [{"id": "fake", "object": "model", "owned_by": "vllm"}]})

    def do_POST(self):
        global count
        body = self.rfile.read(int(self.headers["Content-Length"]))
        request = json.loads(body)
        with lock:
            count += 1
            mine = count
        if dies_after and mine > dies_after:
            os._exit(0)
        fault = faults[mine // 2 % len(faults)] if faults and mine % 2 else ""
        if fault == "429":
            return self.reply(429, {"error": {"message": "slow down"}}, [("Retry-After", "0")])
        if fault == "500":
            return self.reply(500, b"<html>oops</html>")
        if fault == "garbage":
            return self.reply(200, b'{"choices": [{"mess')
        if fault == "shape":
            return self.reply(200, {"choices": [{"message": "hello"}]})
        if fault == "bad":
            return self.reply(400, {"error": {"message": "maximum context length is 10"}})
        if fault == "reset":
            self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            self.connection.close()
            return None
        if fault == "hang":
            time.sleep(5)
            return None
        if fault == "slow":
            time.sleep(0.2)
        key = json.dumps([request["messages"], request["seed"], request["temperature"], request["top_p"]])
        digest = hashlib.sha256(key.encode()).hexdigest()
        message = {"role": "assistant", "content": f"The answer is \\boxed{{{int(digest[:4], 16) % 50}}}."}
        if digest[0] in "0123":
            message["reasoning_content"] = "Let me see: " + digest
        usage = {"prompt_tokens": 20, "completion_tokens": 10 + int(digest[4], 16)}
        if request.get("stream"):
            return self.stream(message, usage, fault)
        choices = [{"message": message, "finish_reason": "stop"}] * (1 if fault == "few" else request.get("n", 1))
        self.reply(200, {"choices": choices, "usage": usage, "system_fingerprint": "fp"})

    def stream(self, message, usage, fault):
        self.send_response(200)
        self.send_header("Content-Type", "text/event-stream")
        self.send_header("Connection", "close")
        self.end_headers()
        self.close_connection = True
        pieces = [{k: v} for k in ("reasoning_content", "content") for v in message.get(k, "").split(" ") if v]
        pieces = [{k: v + " " for k, v in piece.items()} for piece in pieces]
        if fault == "cut":
            pieces = pieces[:1]
        if fault == "endless":
            pieces = pieces[-1:] * 100_000
        try:
            for piece in pieces:
                event = {"choices": [{"index": 0, "delta": piece, "finish_reason": None}], "system_fingerprint": "fp"}
                self.wfile.write(b"data: " + json.dumps(event).encode() + b"\n\n")
            if fault == "cut":
                return
            end = {"choices": [{"index": 0, "delta": {}, "finish_reason": "stop"}]}
            for event in (end, {"choices": [], "usage": usage}):
                self.wfile.write(b"data: " + json.dumps(event).encode() + b"\n\n")
            self.wfile.write(b"data: [DONE]\n\n")
        except OSError:
            pass  # who asked has gone


server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
server.daemon_threads = True
with open(sys.argv[1] + ".tmp", "w") as file:
    file.write(str(server.server_address[1]))
os.rename(sys.argv[1] + ".tmp", sys.argv[1])
threading.Timer(120, lambda: os._exit(0)).start()
server.serve_forever()
