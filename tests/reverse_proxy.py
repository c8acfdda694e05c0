"""A plain reverse proxy as many have one: other things beside the server, which is shown below a path that it takes off."""

import http.client
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import urlsplit

_OF_ONE_HOP = {"connection", "keep-alive", "transfer-encoding"}


@contextmanager
def proxied(address: str, prefix: str) -> Iterator[str]:
    """The address under which a proxy shows a server below a prefix; what is not below it is a 404."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), _handler(urlsplit(address).netloc, prefix))
    server.daemon_threads = True
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}{prefix}"
    finally:
        server.shutdown()
        server.server_close()


def _handler(upstream: str, prefix: str) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        def forward(self) -> None:
            if not self.path.startswith(f"{prefix}/"):
                self.send_error(404)
                return
            size = int(self.headers.get("content-length", 0))
            there = http.client.HTTPConnection(upstream)
            headers = {name: value for name, value in self.headers.items() if name.lower() not in _OF_ONE_HOP}
            there.request(self.command, self.path[len(prefix) :], self.rfile.read(size) or None, headers)
            answer = there.getresponse()
            self.send_response(answer.status)
            for name, value in answer.getheaders():
                if name.lower() not in _OF_ONE_HOP:
                    self.send_header(name, value)
            self.end_headers()
            try:
                while part := answer.read1(65536):
                    self.wfile.write(part)
                    self.wfile.flush()
            except (BrokenPipeError, ConnectionResetError):  # the browser went on
                pass
            finally:
                there.close()

        do_GET = do_POST = do_HEAD = forward

        def log_message(self, format: str, *args: object) -> None:
            pass

    return Handler
