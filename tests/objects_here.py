"""Servers that speak S3, Azure's and Google's protocols, each in a process of its own, and a door before one of them."""

import base64
import hashlib
import hmac
import os
import shutil
import socket
import subprocess
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from email.utils import formatdate
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import httpx
import pytest

import s3_here

ACCOUNT = "devstoreaccount1"
KEY = "Eby8vdM02xNOcqFlqUwJPLlmEtlCDXJ1OUzFT50uSRZ6IFsuFq2UVErCz4I6tq/K1SZFPTOtr/KBHBeksoGMGw=="
SECRET = "a-secret-that-nobody-prints"


def s3_environment(url: str) -> dict[str, str]:
    """What a client of a server that speaks S3 is told."""
    return {
        "AWS_ENDPOINT_URL": url,
        "AWS_ACCESS_KEY_ID": "an-access-key",
        "AWS_SECRET_ACCESS_KEY": SECRET,
        "AWS_REGION": "us-east-1",
    }


@contextmanager
def s3() -> Iterator[dict[str, str]]:
    """A server with a bucket "store"; gives the environment of its clients."""
    with s3_here.running() as url:
        assert httpx.put(f"{url}/store").is_success
        yield s3_environment(url)


@contextmanager
def azure() -> Iterator[dict[str, str]]:
    """Azurite with a container "store"; gives the environment of its clients."""
    found = shutil.which("azurite-blob") or os.environ.get("SLIPWAY_TEST_AZURITE", "")
    if not found:
        pytest.skip("needs Azurite: npm install -g azurite, or name it: SLIPWAY_TEST_AZURITE=.../azurite-blob")
    port = _free_port()
    options = ["--inMemoryPersistence", "--silent", "--disableTelemetry", "--skipApiVersionCheck"]
    with _running([found, *options, "--blobPort", str(port)], port):
        place = f"/{ACCOUNT}/store"
        headers = {"x-ms-date": formatdate(usegmt=True), "x-ms-version": "2021-08-06"}
        signed = "".join(f"{name}:{value}\n" for name, value in headers.items())
        text = "PUT" + "\n" * 12 + signed + f"/{ACCOUNT}{place}\nrestype:container"
        signature = hmac.new(base64.b64decode(KEY), text.encode(), hashlib.sha256).digest()
        headers["Authorization"] = f"SharedKey {ACCOUNT}:{base64.b64encode(signature).decode()}"
        answer = httpx.put(f"http://127.0.0.1:{port}{place}?restype=container", headers=headers)
        assert answer.is_success, answer.text
        yield {
            "AZURE_STORAGE_ACCOUNT_NAME": ACCOUNT,
            "AZURE_STORAGE_ACCOUNT_KEY": KEY,
            "AZURE_STORAGE_ENDPOINT": f"http://127.0.0.1:{port}/{ACCOUNT}",
        }


@contextmanager
def google() -> Iterator[dict[str, str]]:
    """A server that speaks Google's XML protocol, with a bucket "store"; gives the environment of its clients.

    That protocol is S3's but for how it signs and how it asks a condition, so a door before a server that speaks S3
    translates these.
    """
    with s3_here.running() as url:
        assert httpx.put(f"{url}/store").is_success
        door = Door(url)
        signature = "AWS4-HMAC-SHA256 Credential=k/20260101/us-east-1/s3/aws4_request, SignedHeaders=host, Signature=0"
        door.drops = {"authorization"}
        door.renames = {
            "authorization": ("authorization", signature),
            "x-goog-if-generation-match": ("if-none-match", "*"),
        }
        try:
            yield {"GOOGLE_BASE_URL": door.url, "GOOGLE_BEARER_TOKEN": "a-token"}
        finally:
            door.close()


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@contextmanager
def _running(command: list[str], port: int) -> Iterator[None]:
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, cwd="/tmp")
    try:
        for _ in range(600):
            with socket.socket() as probe:
                if probe.connect_ex(("127.0.0.1", port)) == 0:
                    break
            assert process.poll() is None, f"{command[0]} ended"
            time.sleep(0.1)
        yield
    finally:
        process.terminate()
        process.wait()


class Door:
    """An HTTP server of this process: it answers with a status of its own, or passes on to another server.

    Args:
        behind: The address of the server behind it, "" for none.

    Attributes:
        status: What it answers itself, 0 to pass on.
        body: The body of such an answer.
        drops: Headers that it leaves out of what it passes on, in small letters.
        renames: Headers in whose place it passes on others, in small letters.
        asked: The methods and paths of the requests that came.
    """

    def __init__(self, behind: str = "") -> None:
        self.behind, self.status, self.body = behind, 0, ""
        self.drops: set[str] = set()
        self.renames: dict[str, tuple[str, str]] = {}
        self.asked: list[tuple[str, str]] = []
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), self._handler())
        self.url = f"http://127.0.0.1:{self._server.server_port}"
        threading.Thread(target=self._server.serve_forever, args=(0.02,), daemon=True).start()

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()

    def _answer(
        self, method: str, path: str, headers: Mapping[str, str], data: bytes
    ) -> tuple[int, dict[str, str], bytes]:
        self.asked.append((method, path))
        if self.status:
            return self.status, {"content-length": str(len(self.body))}, self.body.encode()
        passed = {name: value for name, value in headers.items() if name.lower() not in {*self.drops, "host"}}
        passed |= dict(self.renames[name.lower()] for name in headers if name.lower() in self.renames)
        answer = httpx.request(method, self.behind + path, headers=passed, content=data, timeout=60)
        told = {
            n: v for n, v in answer.headers.items() if n not in ("connection", "transfer-encoding", "server", "date")
        }
        told.setdefault("content-length", str(len(answer.content)))
        return answer.status_code, told, answer.content

    def _handler(door) -> type[BaseHTTPRequestHandler]:
        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_GET(self) -> None:
                data = self.rfile.read(int(self.headers.get("content-length") or 0))
                status, headers, body = door._answer(self.command, self.path, dict(self.headers), data)
                self.send_response(status)
                for name, value in headers.items():
                    self.send_header(name, value)
                self.end_headers()
                self.wfile.write(b"" if self.command == "HEAD" else body)

            do_PUT = do_POST = do_HEAD = do_DELETE = do_GET

            def log_message(self, *told: object) -> None:
                pass

        return Handler


def named_bucket(folder: Path) -> str:
    """A prefix of its own for a test's folder."""
    return hashlib.sha1(str(folder).encode()).hexdigest()[:16]
