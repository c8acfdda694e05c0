"""Log-in by OpenID Connect: authorization code with PKCE, the ID token verified against the provider's keys.

Sources: OpenID Connect Core 1.0 sections 3.1.2 and 3.1.3.7 (code flow, validation of the ID token), Discovery 1.0, RFC 7636
(PKCE), RFC 8725 (algorithms are chosen here, never by the token), RFC 9700 (what to beware of).
"""

from __future__ import annotations

import base64
import hashlib
import threading
import time
from collections.abc import Mapping
from datetime import datetime
from typing import Any
from urllib.parse import quote, urlencode, urlsplit

import httpx
import msgspec
from joserfc import jwt
from joserfc.errors import JoseError
from joserfc.jwk import KeySet

from slipway.errors import InvalidSetting, Unauthenticated, Unavailable
from slipway.ports.log_in import Asking
from slipway.ports.secrets import is_kept_elsewhere, read_secret
from slipway.ports.trust import trusted
from slipway.records.log_in import OidcSettings
from slipway.records.reach import LOOPBACK

__all__ = ["SKEW_S", "Oidc"]

SKEW_S = 60
"""How far the provider's clock and this one may be apart."""

_ALGORITHMS = ("RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "ES512", "EdDSA")
_KEPT_S = 3600.0
_AGAIN_S = 10.0
_MOST_BYTES = 1 << 20
_AGAIN = "Log in again; if it fails again, ask whoever runs the provider."


class Oidc:
    """One provider. Safe for threads.

    Args:
        settings: Who it is, and as what this server is known there.

    Raises:
        InvalidSetting: The issuer is no address of a provider, or the secret stands in the settings itself.
    """

    def __init__(self, settings: OidcSettings) -> None:
        _check_address(settings.issuer, "The setting issuer of [server.oidc]")
        if settings.client_secret and not is_kept_elsewhere(settings.client_secret):
            raise InvalidSetting(
                "The setting client_secret of [server.oidc] holds the secret itself.",
                why="It is kept in version control.",
                fix='Name where it is kept: client_secret = "file:/run/secrets/oidc", or "env:OIDC_SECRET".',
            )
        self._settings = settings
        self._http = httpx.Client(timeout=10.0, trust_env=False, verify=trusted(), follow_redirects=False)
        self._lock = threading.Lock()
        self._known: dict[str, Any] = {}
        self._known_at = -_KEPT_S
        self._keys: KeySet | None = None
        self._keys_at = -_KEPT_S

    def address(self, asking: Asking) -> str:
        """See `Provider.address`."""
        challenge = base64.urlsafe_b64encode(hashlib.sha256(asking.verifier.encode()).digest()).rstrip(b"=").decode()
        query = {
            "response_type": "code",
            "client_id": self._settings.client_id,
            "redirect_uri": asking.back,
            "scope": "openid profile email",
            "state": asking.state,
            "nonce": asking.nonce,
            "code_challenge": challenge,
            "code_challenge_method": "S256",
        }
        where = str(self._discovered()["authorization_endpoint"])
        return f"{where}{'&' if '?' in where else '?'}{urlencode(query)}"

    def claims(self, asking: Asking, code: str, now: datetime) -> Mapping[str, Any]:
        """See `Provider.claims`."""
        known = self._discovered()
        text = self._exchanged(str(known["token_endpoint"]), asking, code)
        claims = self._verified(text, known)
        self._check(claims, asking, now.timestamp())
        return claims

    def _exchanged(self, where: str, asking: Asking, code: str) -> str:
        form = {
            "grant_type": "authorization_code",
            "code": code,
            "redirect_uri": asking.back,
            "code_verifier": asking.verifier,
            "client_id": self._settings.client_id,
        }
        secret = read_secret(self._settings.client_secret) if self._settings.client_secret else ""
        headers = {"accept": "application/json"}
        if secret:  # client_secret_basic: both are written as forms write them (RFC 6749 section 2.3.1)
            pair = f"{quote(self._settings.client_id, safe='')}:{quote(secret, safe='')}"
            headers["authorization"] = f"Basic {base64.b64encode(pair.encode()).decode()}"
        status, said = self._asked("POST", where, data=form, headers=headers)
        if 400 <= status < 500:
            raise Unauthenticated(
                f"The provider takes the log-in's code no more ({_word(said.get('error'), 'no reason given')}).",
                why="A code is good once, for a short time, and for this server's registration alone.",
                fix=_AGAIN,
            )
        token = said.get("id_token")
        if status != 200 or not isinstance(token, str):
            raise self._odd(where, f"its answer {status} holds no ID token")
        return token

    def _verified(self, text: str, known: Mapping[str, Any]) -> Mapping[str, Any]:
        offered = known.get("id_token_signing_alg_values_supported")
        allowed = [one for one in _ALGORITHMS if not isinstance(offered, list) or one in offered]
        keys = self._fetched_keys(again=False)
        for last in (False, True):
            try:
                return dict(jwt.decode(text, keys, algorithms=allowed).claims)
            except (JoseError, ValueError, TypeError, KeyError) as problem:
                # The provider may sign by a key that it has since the keys were fetched.
                former, keys = keys, keys if last else self._fetched_keys(again=True)
                if last or keys is former:
                    raise _worthless(f"its signature does not hold ({type(problem).__name__})") from problem
        raise _worthless("it has no signature")

    def _check(self, claims: Mapping[str, Any], asking: Asking, now_s: float) -> None:
        audience = claims.get("aud")
        ours = self._settings.client_id
        several = audience if isinstance(audience, list) else [audience]
        if claims.get("iss") != self._settings.issuer:
            raise _worthless("another issuer made it")
        if ours not in several or claims.get("azp", ours) != ours or (len(several) > 1 and "azp" not in claims):
            raise _worthless("it was made for another client")
        times = {name: claims.get(name) for name in ("exp", "iat")}
        if not all(isinstance(value, int | float) and not isinstance(value, bool) for value in times.values()):
            raise _worthless("it does not say until when it is good")
        if float(claims["exp"]) + SKEW_S <= now_s:
            raise _worthless("it has ended")
        begins = claims.get("nbf", claims["iat"])
        if not isinstance(begins, int | float) or max(float(begins), float(claims["iat"])) - SKEW_S > now_s:
            raise _worthless("it is not good yet: the clocks are apart")
        if claims.get("nonce") != asking.nonce:
            raise _worthless("it belongs to another log-in")
        if not isinstance(claims.get("sub"), str) or not claims["sub"]:
            raise _worthless("it names nobody")

    def _discovered(self) -> Mapping[str, Any]:
        with self._lock:
            if time.monotonic() - self._known_at < _KEPT_S:
                return self._known
            where = f"{self._settings.issuer.rstrip('/')}/.well-known/openid-configuration"
            status, said = self._asked("GET", where)
            if status != 200 or said.get("issuer") != self._settings.issuer:
                raise self._odd(where, f"it answers {status}, and says it is {_word(said.get('issuer'), 'nobody')}")
            for name in ("authorization_endpoint", "token_endpoint", "jwks_uri"):
                _check_address(str(said.get(name, "")), f"The provider's {name}")
            self._known, self._known_at = said, time.monotonic()
            return said

    def _fetched_keys(self, *, again: bool) -> KeySet:
        """The provider's keys; fetched again where one is missing, at most every few seconds: callers choose the key's id."""
        where = str(self._discovered()["jwks_uri"])
        with self._lock:
            age_s = time.monotonic() - self._keys_at
            if self._keys is not None and age_s < (_AGAIN_S if again else _KEPT_S):
                return self._keys
            status, said = self._asked("GET", where)
            try:
                kept: Any = [one for one in said["keys"] if one.get("use", "sig") == "sig" and one.get("kty") != "oct"]
                found = KeySet.import_key_set({"keys": kept})
            except (JoseError, KeyError, TypeError, ValueError, AttributeError) as problem:
                raise self._odd(where, f"its answer {status} holds no keys") from problem
            self._keys, self._keys_at = found, time.monotonic()
            return found

    def _asked(self, method: str, where: str, **options: Any) -> tuple[int, dict[str, Any]]:
        try:
            with self._http.stream(method, where, **options) as answer:
                content = b""
                for part in answer.iter_bytes():
                    content += part
                    if len(content) > _MOST_BYTES:
                        raise self._odd(where, "it answers without end")
        except httpx.HTTPError as problem:
            raise Unavailable(
                f"The provider at {self._settings.issuer} cannot be reached: {str(problem).rstrip('.') or type(problem).__name__}.",
                fix="Log in with a token meanwhile; see whether the server may reach the provider.",
            ) from problem
        try:
            return answer.status_code, msgspec.json.decode(content, type=dict[str, Any])
        except msgspec.DecodeError as problem:
            raise self._odd(where, f"its answer {answer.status_code} is no JSON object") from problem

    def _odd(self, where: str, what: str) -> Unavailable:
        return Unavailable(
            f"{where} does not answer as an OpenID provider: {what}.",
            fix="Write the setting issuer of [server.oidc] as the provider's own configuration says it.",
        )


def _check_address(url: str, what: str) -> None:
    try:
        parts = urlsplit(url)
        host = parts.hostname or ""
    except ValueError:
        parts, host = urlsplit(""), ""
    if host and not parts.fragment and (parts.scheme == "https" or (parts.scheme == "http" and host in LOOPBACK)):
        return
    raise InvalidSetting(
        f"{what} is {url!r}, which is no address of a provider.",
        why="It begins with https://, so that nobody on the way can answer in its place.",
        fix='For example issuer = "https://login.example.org/realms/ours".',
    )


def _worthless(why: str) -> Unauthenticated:
    return Unauthenticated(f"The provider's ID token is good for nothing: {why}.", fix=_AGAIN)


def _word(said: object, otherwise: str) -> str:
    """A word of the provider's for a sentence: callers may choose it, so it is short and plain."""
    return repr(said[:100]) if isinstance(said, str) and said else otherwise
