"""A file server that fails on purpose: the first part of a path says how, the rest names a file of FOLDER.

    fetch_server.py PORT_FILE FOLDER
ok, cut (ends the connection after a third of what is asked), cut_plain (the same without ranges), lie (says more bytes
than it sends), wrong (other bytes), long (more bytes), fail2 (two 503 first), gone (404), away (redirects to ok),
leave (redirects to a file of the machine), rows (pages of JSON lines).
What it was asked stands in PORT_FILE.log: a line a request, path, Range and Authorization.
"""
import http.server
import json
import os
import socketserver
import sys
import urllib.parse

port_file, folder = sys.argv[1:3]
seen = {}


class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def log_message(self, *_):
        pass

    def do_GET(self):
        url = urllib.parse.urlparse(self.path)
        how, _, name = url.path[1:].partition("/")
        seen[url.path] = seen.get(url.path, 0) + 1
        with open(port_file + ".log", "a") as log:
            log.write(f"{self.path} {self.headers.get('Range')} {self.headers.get('Authorization')}\n")
        if how == "rows":
            return self.rows(name, urllib.parse.parse_qs(url.query))
        if how in ("away", "leave"):
            self.send_response(302)
            self.send_header("Location", "/ok/" + name if how == "away" else "file:///etc/passwd")
            self.send_header("Content-Length", "0")
            self.end_headers()
            return
        if how == "gone" or (how == "fail2" and seen[url.path] <= 2):
            self.send_response(404 if how == "gone" else 503)
            self.send_header("Content-Length", "5")
            self.end_headers()
            self.wfile.write(b"sorry")
            return
        with open(os.path.join(folder, name), "rb") as file:
            data = file.read()
        whole = len(data)
        if how == "wrong":
            data = b"x" + data[1:]
        if how == "long":
            data += b"more"
        begin = 0
        asked = self.headers.get("Range", "")
        if asked.startswith("bytes=") and how != "cut_plain":
            begin = int(asked[6:].split("-")[0])
            if begin >= len(data):
                self.send_response(416)
                self.send_header("Content-Length", "0")
                self.end_headers()
                return
            self.send_response(206)
            self.send_header("Content-Range", f"bytes {begin}-{len(data) - 1}/{len(data)}")
        else:
            self.send_response(200)
        data = data[begin:]
        self.send_header("Content-Length", str(len(data) + (100 if how == "lie" else 0)))
        self.end_headers()
        # Plain, it gets through at the third try.
        if how in ("cut", "cut_plain") and not (how == "cut_plain" and seen[url.path] > 2):
            data = data[:max(1, whole // 3)] if len(data) > whole // 3 else data
            short = begin + len(data) < whole
        else:
            short = how == "lie"
        self.wfile.write(data)
        if short:
            self.close_connection = True

    def rows(self, name, query):
        with open(os.path.join(folder, name), "rb") as file:
            rows = [json.loads(line) for line in file]
        offset, length = int(query["offset"][0]), int(query["length"][0])
        body = json.dumps({"rows": [{"row_idx": offset + i, "row": row} for i, row in enumerate(rows[offset:offset + length])],
                           "num_rows_total": len(rows)}).encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)


class Server(socketserver.ThreadingMixIn, http.server.HTTPServer):
    daemon_threads = True

    def handle_error(self, *_):
        pass  # a client that hangs up


server = Server(("127.0.0.1", 0), Handler)
with open(port_file + ".new", "w") as file:
    file.write(str(server.server_port))
os.rename(port_file + ".new", port_file)
server.serve_forever()
