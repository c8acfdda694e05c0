"""Where messages about injected faults arrive: a mail server and a receiver of webhooks on this machine, of few lines."""

import email
import json
import socketserver
import threading
from email.message import Message
from email.policy import default
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from slipway.records.notifications import ChannelSettings, NotifySettings

__all__ = ["Post"]


class Post:
    """Both of them, and what came, in its order. Use it in a `with` block."""

    def __init__(self) -> None:
        self.letters: list[Message] = []
        self.facts: list[dict[str, Any]] = []
        self._hook = ThreadingHTTPServer(("127.0.0.1", 0), _Hook)
        self._hook.facts = self.facts  # type: ignore[attr-defined]
        self._mail: _Mail | None = None
        self._mail_port = 0

    def __enter__(self) -> "Post":
        _run(self._hook)
        self.open_mail()
        return self

    def __exit__(self, *_: object) -> None:
        self._hook.shutdown()
        self._hook.server_close()
        self.close_mail()

    def open_mail(self) -> None:
        """Let the mail server be there, at the port that it had."""
        self._mail = _Mail(("127.0.0.1", self._mail_port), _Conversation)
        self._mail.letters = self.letters
        self._mail_port = self._mail.server_address[1]
        _run(self._mail)

    def close_mail(self) -> None:
        """Let the mail server be away."""
        if self._mail is not None:
            self._mail.shutdown()
            self._mail.server_close()
            self._mail = None

    def forget(self) -> None:
        """What came belongs to another fault."""
        del self.letters[:], self.facts[:]

    def settings(self) -> NotifySettings:
        """What a project's slipway.toml would say of them."""
        url = f"http://127.0.0.1:{self._hook.server_address[1]}/hook"
        mail = ChannelSettings(
            kind="mail", host="127.0.0.1", port=self._mail_port, security="none", sender="watch@example.org",
            to="nobody-known@example.org",
        )  # fmt: skip
        return NotifySettings(channels={"mail": mail, "hook": ChannelSettings(kind="webhook", url=url)})


def _run(server: Any) -> None:
    threading.Thread(target=lambda: server.serve_forever(poll_interval=0.02), daemon=True).start()


class _Hook(BaseHTTPRequestHandler):
    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["content-length"]))
        self.server.facts.append(json.loads(body))  # type: ignore[attr-defined]
        self.send_response(200)
        self.send_header("content-length", "0")
        self.end_headers()

    def log_message(self, *_: Any) -> None:
        """Nothing."""


class _Mail(socketserver.ThreadingTCPServer):
    allow_reuse_address = True
    daemon_threads = True
    letters: list[Message]


class _Conversation(socketserver.StreamRequestHandler):
    server: _Mail

    def handle(self) -> None:
        self._say("220 here")
        while line := self.rfile.readline():
            verb = line.split()[0].decode().upper() if line.strip() else ""
            if verb == "QUIT":
                self._say("221 bye")
                return
            if verb == "DATA":
                self._say("354 go on")
                lines = []
                while (line := self.rfile.readline()) not in (b".\r\n", b""):
                    lines.append(line.removeprefix(b"."))
                self.server.letters.append(email.message_from_bytes(b"".join(lines), policy=default))
            self._say("250 well")

    def _say(self, text: str) -> None:
        self.wfile.write(f"{text}\r\n".encode())
