"""A front in this process, on a real socket, with workers that say what they were given, on real sockets too."""

import asyncio
import json
import os
import socket
import threading
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import httptools
from uvicorn.loops.auto import auto_loop_factory

from slipway.ports.launcher import LOCK_FILE
from slipway.serving.front import Front
from slipway.serving.front_finding import of_one
from slipway.serving.front_links import Backend
from slipway.serving.front_routes import Routes, socket_file, write_routes


class Echo(asyncio.Protocol):
    """A worker's connection: it answers with what it read, or as the target says."""

    def __init__(self, worker: "Worker") -> None:
        self.worker = worker
        self.parser = httptools.HttpRequestParser(self)
        self.begin()

    def begin(self) -> None:
        self.target, self.headers, self.body = b"", [], b""

    def connection_made(self, transport: Any) -> None:
        self.transport = transport
        self.worker.transports.add(transport)

    def connection_lost(self, problem: Exception | None) -> None:
        self.worker.transports.discard(self.transport)

    def data_received(self, data: bytes) -> None:
        self.parser.feed_data(data)

    def on_url(self, url: bytes) -> None:
        self.target += url

    def on_header(self, name: bytes, value: bytes) -> None:
        self.headers.append((name.decode(), value.decode("latin-1")))

    def on_body(self, data: bytes) -> None:
        self.body += data

    def on_message_complete(self) -> None:
        method = self.parser.get_method().decode()
        said = {"method": method, "target": self.target.decode(), "headers": self.headers, "size": len(self.body)}
        said |= {"worker": self.worker.serial, "text": self.body[:100].decode("latin-1")}
        self.worker.seen.append(said)
        if self.target.startswith(b"/die"):
            self.worker.end()
            return
        if self.target.startswith(b"/never"):
            return
        body = json.dumps(said).encode()
        if self.target.startswith(b"/large"):
            body = b"x" * 20_000_000
        close = b"connection: close\r\n" if self.target.startswith(b"/leaving") else b""
        self.transport.write(b"HTTP/1.1 200 OK\r\ncontent-length: %d\r\n%b\r\n%b" % (len(body), close, body))
        self.begin()


class Worker:
    def __init__(self, folder: Path, serial: int) -> None:
        self.serial = serial
        self.seen: list[dict[str, Any]] = []
        self.transports: set[Any] = set()
        self.path = os.path.relpath(socket_file(folder, serial))

    async def start(self) -> None:
        self.server = await asyncio.get_running_loop().create_unix_server(lambda: Echo(self), self.path)

    def end(self) -> None:
        self.server.close()
        for transport in list(self.transports):
            transport.abort()


class FrontDesk:
    def __init__(self, folder: Path, *, workers: int = 1, **routes: Any) -> None:
        (folder / "workers").mkdir(parents=True)
        self.folder = folder
        self.lock = (folder / LOCK_FILE).open("a")
        self.workers = [Worker(folder, serial) for serial in range(1, workers + 1)]
        self.routes = Routes(
            **{"name": "delays", "workers": tuple(range(1, workers + 1)), "max_bytes": 10_000, **routes}
        )
        write_routes(folder, self.routes)
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.port = self.listener.getsockname()[1]
        self.up = threading.Event()
        self.thread = threading.Thread(target=self._serve)
        self.thread.start()
        assert self.up.wait(20)

    def _serve(self) -> None:
        with asyncio.Runner(loop_factory=auto_loop_factory()) as runner:
            runner.run(self._run())

    async def _run(self) -> None:
        self.loop = asyncio.get_running_loop()
        self.stopping = asyncio.Event()
        self.tasks: set[Any] = set()
        for worker in self.workers:
            await worker.start()
        self.backend = Backend(self.folder, 0, self.tasks.add)
        self.front = Front(of_one(self.backend), lambda: [self.backend], lambda: None)
        await self.front.serve(self.listener, self.stopping, ready=self.up.set, drain_s=lambda: 1.0)
        for worker in self.workers:
            worker.end()

    def call(self, what: Callable[[], Any]) -> Any:
        """Do something in the front's own thread."""

        async def done() -> Any:
            return what()

        return asyncio.run_coroutine_threadsafe(done(), self.loop).result(20)

    def close(self) -> None:
        self.loop.call_soon_threadsafe(self.stopping.set)
        self.thread.join(30)
        self.lock.close()
        assert not self.thread.is_alive()

    def connect(self) -> socket.socket:
        return socket.create_connection(("127.0.0.1", self.port), timeout=20)

    def say(self, *parts: bytes, ends: bool = False) -> bytes:
        """Send some bytes on one connection, and read until the front closes it, or for `ends` after a half-close."""
        with self.connect() as connection:
            for part in parts:
                connection.sendall(part)
            if ends:
                connection.shutdown(socket.SHUT_WR)
            return read_all(connection)


def read_all(connection: socket.socket) -> bytes:
    """All that comes; who answers before it has read everything resets the connection behind its answer."""
    found = b""
    with suppress(ConnectionResetError):
        while data := connection.recv(65536):
            found += data
    return found


def read_one(connection: socket.socket) -> tuple[bytes, bytes]:
    """One answer's head and body."""
    found = b""
    while b"\r\n\r\n" not in found:
        data = connection.recv(1)
        assert data, found
        found += data
    size = int(next(line for line in found.lower().split(b"\r\n") if line.startswith(b"content-length")).split(b":")[1])
    body = b""
    while len(body) < size:
        body += connection.recv(size - len(body))
    return found, body


def answers(said: bytes) -> list[dict[str, Any]]:
    """The bodies of answers that came one after the other."""
    found = []
    while said:
        head, _, rest = said.partition(b"\r\n\r\n")
        lines = head.lower().split(b"\r\n")
        size = next((int(line.split(b":")[1]) for line in lines if line.startswith(b"content-length")), 0)
        found.append({"status": int(head.split()[1]), "head": head.decode(), **json.loads(rest[:size] or b"{}")})
        said = rest[size:]
    return found
