"""A small OpenID Connect provider, over real sockets, that keeps to the standard, unless a test says what it does wrong."""

import base64
import hashlib
import hmac
import json
import secrets
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import cache
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, unquote, urlencode, urlsplit

from joserfc import jwt
from joserfc.jwk import RSAKey

CLIENT = "slipway"
SECRET = "a-client's secret/+"


@cache
def _first_key() -> RSAKey:
    """Made once: it takes longer than most tests."""
    return RSAKey.generate_key(2048, {"kid": "first", "use": "sig"})


class ProviderDesk:
    """What the provider knows and does; `port` is bound when it runs."""

    def __init__(self, port: int) -> None:
        self.issuer = f"http://127.0.0.1:{port}"
        self.key = _first_key()
        self.claims: dict[str, Any] = {"sub": "1", "preferred_username": "dan"}
        self.codes: dict[str, dict[str, str]] = {}
        self.asked: list[str] = []
        self.secret = SECRET
        self.discovery: dict[str, Any] = {}
        self.forge: Callable[[dict[str, Any]], str] = self.sign

    def rotate(self) -> None:
        """Sign by another key from now on, and show that one alone."""
        self.key = RSAKey.generate_key(2048, {"kid": secrets.token_hex(4), "use": "sig"})

    def sign(self, claims: dict[str, Any]) -> str:
        return jwt.encode({"alg": "RS256", "kid": self.key.kid}, claims, self.key)

    def sign_symmetric(self, claims: dict[str, Any]) -> str:
        """By the public key's bytes as a shared secret: what takes the token's own algorithm lets it through."""
        signed = f"{encoded({'alg': 'HS256', 'kid': self.key.kid})}.{encoded(claims)}"
        tag = hmac.digest(self.key.as_pem(private=False), signed.encode(), "sha256")
        return f"{signed}.{base64.urlsafe_b64encode(tag).rstrip(b'=').decode()}"

    def sign_nothing(self, claims: dict[str, Any]) -> str:
        return f"{encoded({'alg': 'none', 'typ': 'JWT'})}.{encoded(claims)}."

    def document(self) -> dict[str, Any]:
        return {
            "issuer": self.issuer,
            "authorization_endpoint": f"{self.issuer}/authorize",
            "token_endpoint": f"{self.issuer}/token",
            "jwks_uri": f"{self.issuer}/keys",
            "id_token_signing_alg_values_supported": ["RS256"],
            **self.discovery,
        }

    def authorize(self, query: dict[str, str]) -> str:
        assert (query["response_type"], query["client_id"]) == ("code", CLIENT)
        assert query["code_challenge_method"] == "S256"
        assert "openid" in query["scope"].split()
        code = secrets.token_urlsafe(16)
        self.codes[code] = query
        return f"{query['redirect_uri']}?{urlencode({'code': code, 'state': query['state'], 'iss': self.issuer})}"

    def token(self, form: dict[str, str], authorization: str) -> tuple[int, dict[str, Any]]:
        pair = base64.b64decode(authorization.removeprefix("Basic ")).decode()
        if [unquote(part) for part in pair.split(":")] != [CLIENT, self.secret]:
            return 401, {"error": "invalid_client"}
        query = self.codes.pop(form["code"], None)
        if query is None or query["redirect_uri"] != form["redirect_uri"]:
            return 400, {"error": "invalid_grant"}
        proof = base64.urlsafe_b64encode(hashlib.sha256(form["code_verifier"].encode()).digest()).rstrip(b"=").decode()
        if proof != query["code_challenge"]:
            return 400, {"error": "invalid_grant"}
        now = int(time.time())
        claims = {
            "iss": self.issuer,
            "aud": CLIENT,
            "iat": now,
            "exp": now + 300,
            "nonce": query["nonce"],
            **self.claims,
        }
        claims = {name: value for name, value in claims.items() if value is not None}
        return 200, {"access_token": "unused", "token_type": "Bearer", "id_token": self.forge(claims)}


@contextmanager
def provider() -> Iterator[ProviderDesk]:
    """A running provider."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            parts = urlsplit(self.path)
            desk.asked.append(parts.path)
            if parts.path == "/authorize":
                self.send_response(302)
                self.send_header("location", desk.authorize(one_of_each(parts.query)))
                self.end_headers()
            elif parts.path == "/keys":
                self._say(200, {"keys": [desk.key.as_dict(private=False)]})
            else:
                self._say(200, desk.document())

        def do_POST(self) -> None:
            form = one_of_each(self.rfile.read(int(self.headers["content-length"])).decode())
            self._say(*desk.token(form, self.headers.get("authorization", "")))

        def _say(self, status: int, said: Any) -> None:
            content = json.dumps(said).encode()
            self.send_response(status)
            self.send_header("content-length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

        def log_message(self, *_: Any) -> None: ...

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    desk = ProviderDesk(server.server_address[1])
    thread = threading.Thread(target=server.serve_forever, args=(0.05,))
    thread.start()
    try:
        yield desk
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def one_of_each(query: str) -> dict[str, str]:
    return {name: values[-1] for name, values in parse_qs(query).items()}


def encoded(part: dict[str, Any]) -> str:
    return base64.urlsafe_b64encode(json.dumps(part).encode()).rstrip(b"=").decode()
