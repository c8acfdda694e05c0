"""A mail server and a receiver of webhooks on this machine, of few lines: what came, in the order in which it came."""

import base64
import email
import json
import socketserver
import ssl
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from email.message import Message
from email.policy import default
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any


class MailServer(socketserver.ThreadingTCPServer):
    """An SMTP server.

    `says` is what it answers to a verb, or to "RCPT <address>", in place of its own word; "cut" ends the connection without
    a word, after what was sent is there.
    """

    allow_reuse_address = True
    daemon_threads = True

    def __init__(self, tls: tuple[Path, Path] | None = None, password: str = "") -> None:
        super().__init__(("127.0.0.1", 0), _Conversation)
        self.came: list[Message] = []
        self.to: list[str] = []
        self.says: dict[str, str] = {}
        self.password = password
        self.was_secure: list[bool] = []
        self.context: ssl.SSLContext | None = None
        if tls:
            self.context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            self.context.load_cert_chain(*tls)

    @property
    def port(self) -> int:
        return int(self.server_address[1])

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A client that was killed is no fault of the server's."""


class _Conversation(socketserver.StreamRequestHandler):
    server: MailServer

    def handle(self) -> None:
        self.say("220 here")
        self.is_secure = self.is_known = False
        while line := self.rfile.readline():
            verb = line.split()[0].decode().upper() if line.strip() else ""
            if verb == "QUIT":
                self.say("221 bye")
                return
            if (said := self.server.says.get(verb)) is not None:
                if said == "cut":
                    return
                self.say(said)
            elif not self.answered(verb, line.decode().strip()):
                return

    def answered(self, verb: str, line: str) -> bool:
        if verb == "EHLO":
            more = "\r\n250-STARTTLS" if self.server.context and not self.is_secure else ""
            self.say(f"250-here{more}\r\n250 AUTH PLAIN")
        elif verb == "STARTTLS" and self.server.context:
            self.say("220 go on")
            self.connection = self.server.context.wrap_socket(self.connection, server_side=True)
            self.rfile, self.wfile = self.connection.makefile("rb"), self.connection.makefile("wb", 0)
            self.is_secure = True
        elif verb == "AUTH":
            given = base64.b64decode(line.split()[-1]).decode().split("\0")[-1]
            self.is_known = given == self.server.password
            self.say("235 welcome" if self.is_known else "535 who are you?")
        elif verb == "MAIL" and self.server.password and not self.is_known:
            self.say("530 log in first")
        elif verb == "RCPT":
            address = line.partition("<")[2].rstrip(">")
            said = self.server.says.get(f"RCPT <{address}>", "250 known")
            if said.startswith("250"):
                self.server.to.append(address)
            self.say(said)
        elif verb == "DATA":
            return self.taken()
        else:
            self.say("250 well")
        return True

    def taken(self) -> bool:
        self.say("354 go on")
        lines = []
        while (line := self.rfile.readline()) not in (b".\r\n", b""):
            lines.append(line.removeprefix(b"."))
        if not line:
            return False
        said = self.server.says.get("END", "250 taken")
        if said == "cut" or said.startswith("250"):
            self.server.was_secure.append(self.is_secure)
            self.server.came.append(email.message_from_bytes(b"".join(lines), policy=default))
        if said == "cut":
            return False
        self.say(said)
        return True

    def finish(self) -> None:
        self.rfile.close()
        self.wfile.close()
        self.connection.close()

    def say(self, text: str) -> None:
        self.wfile.write(f"{text}\r\n".encode())


class Receiver(ThreadingHTTPServer):
    """A receiver of webhooks, which drops a key that it has had, as its documentation asks."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Post)
        self.requests: list[tuple[dict[str, str], bytes]] = []
        self.status: list[int] = []
        self.lock = threading.Lock()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}/hook"

    @property
    def came(self) -> list[dict[str, Any]]:
        """What was taken, each key once."""
        once = {headers.get("idempotency-key", str(place)): body for place, (headers, body) in enumerate(self.requests)}
        return [json.loads(body) for body in once.values()]

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A client that was killed is no fault of the server's."""


class _Post(BaseHTTPRequestHandler):
    server: Receiver

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["content-length"]))
        with self.server.lock:
            status = self.server.status.pop(0) if self.server.status else 200
            if status == 200:
                self.server.requests.append(({name.lower(): value for name, value in self.headers.items()}, body))
        self.send_response(status)
        self.send_header("content-length", "0")
        self.end_headers()

    def log_message(self, *_: Any) -> None:
        """Nothing."""


@contextmanager
def mail_server(tls: tuple[Path, Path] | None = None, password: str = "") -> Iterator[MailServer]:
    """A mail server on a free port."""
    with _running(MailServer(tls, password)) as server:
        yield server


@contextmanager
def web_hook() -> Iterator[Receiver]:
    """A receiver on a free port."""
    with _running(Receiver()) as server:
        yield server


@contextmanager
def _running(server: Any) -> Iterator[Any]:
    thread = threading.Thread(target=lambda: server.serve_forever(poll_interval=0.02), daemon=True)
    thread.start()
    try:
        yield server
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
