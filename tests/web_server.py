"""A web server in a process of its own, for sources: files with ETags, pages of JSON, and every way to misbehave."""

import hashlib
import json
import subprocess
import sys
import urllib.parse
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import ClassVar

TOKEN = "Bearer s3cret-token"


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    folder: Path
    asked: ClassVar[dict[str, int]] = {}

    def log_message(self, format: str, *args: object) -> None: ...

    def do_GET(self) -> None:
        url = urllib.parse.urlsplit(self.path)
        query = dict(urllib.parse.parse_qsl(url.query))
        kind, _, rest = url.path.lstrip("/").partition("/")
        with (self.folder / "asked.txt").open("a") as file:
            file.write(self.path + "\n")
        getattr(self, f"give_{kind}", self.give_missing)(rest, query)

    def send(self, status: int, body: bytes = b"", **headers: str) -> None:
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name.replace("_", "-"), value)
        if status != 304:
            self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def give_missing(self, rest: str, query: dict[str, str]) -> None:
        self.send(404)

    def give_files(self, name: str, query: dict[str, str]) -> None:
        path = self.folder / name
        if not path.is_file():
            return self.send(404)
        body = path.read_bytes()
        etag = f'"{hashlib.sha256(body).hexdigest()[:12]}"'
        if self.headers.get("If-None-Match") == etag:
            return self.send(304)
        return self.send(200, body, ETag=etag)

    def give_flaky(self, rest: str, query: dict[str, str]) -> None:
        times, _, name = rest.partition("/")
        self.asked[rest] = self.asked.get(rest, 0) + 1
        if self.asked[rest] <= int(times):
            return self.send(503)
        return self.give_files(name, query)

    def give_cut(self, name: str, query: dict[str, str]) -> None:
        body = (self.folder / name).read_bytes()
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body[: len(body) // 2])
        self.wfile.flush()
        self.close_connection = True

    def give_denied(self, rest: str, query: dict[str, str]) -> None:
        self.send(403)

    def give_elsewhere(self, rest: str, query: dict[str, str]) -> None:
        self.send(302, Location=query["to"])

    def give_silent(self, rest: str, query: dict[str, str]) -> None:
        self.rfile.read(1)

    def give_api(self, kind: str, query: dict[str, str]) -> None:
        path = self.folder / "rows.json"
        if not path.is_file():
            return self.send(404)
        body = path.read_bytes()
        if kind == "list":
            return self.give_files("rows.json", query)
        if kind == "private" and self.headers.get("Authorization") != TOKEN:
            return self.send(401)
        try:
            rows = json.loads(body)
        except ValueError:
            return self.send(200, body)
        if "updated_since" in query:
            rows = [row for row in rows if str(row["seen"]) >= query["updated_since"]]
        size = int(query.get("size", "1000"))
        at = (int(query["page"]) - 1) * size if "page" in query else int(query.get("after", "0"))
        page, more = rows[at : at + size], at + size < len(rows)
        here = f"/api/{kind}?size={size}&after={at + size}"
        if kind == "pages":
            return self.send(200, json.dumps(page).encode())
        if kind == "cursor":
            told = {"data": {"items": page}, "paging": {"after": str(at + size) if more else None}}
            return self.send(200, json.dumps(told).encode())
        if kind == "loop":
            return self.send(200, json.dumps({"items": page, "next": "/api/loop"}).encode())
        if kind == "away":
            return self.send(200, json.dumps({"items": page, "next": "http://127.0.0.2:1/api"}).encode())
        if kind == "link":
            link = {"Link": f'<{here}>; rel="next"'} if more else {}
            return self.send(200, json.dumps(page).encode(), **link)
        return self.send(200, json.dumps({"items": page, "next": here if more else None}).encode())


@contextmanager
def serving(folder: Path) -> Iterator[str]:
    """The address of a server over a folder."""
    process = subprocess.Popen([sys.executable, __file__, str(folder)], stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    try:
        yield f"http://127.0.0.1:{int(process.stdout.readline())}"
    finally:
        process.terminate()
        process.wait()
        process.stdout.close()


if __name__ == "__main__":
    Handler.folder = Path(sys.argv[1])
    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    print(server.server_port, flush=True)
    server.serve_forever()
