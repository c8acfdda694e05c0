"""Logging in to the pages by an OpenID Connect provider: there, and back with a code that is good once."""

import hmac
import secrets
import threading
import time
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response
from starlette.routing import Route

from slipway.errors import SlipwayError, Unauthenticated
from slipway.governance import tokens
from slipway.governance.federated import check_role, identity_by_claims
from slipway.plugins import load
from slipway.ports.log_in import Asking, Provider
from slipway.ports.workspace import Workspace
from slipway.records.log_in import OidcSettings
from slipway.server import errors
from slipway.server.formats import below

__all__ = ["BACK", "BEGIN", "routes"]

BEGIN = "/login/oidc"
BACK = "/login/oidc/back"
_COOKIE = "slipway_log_in"
_WITHIN_S = 600
_MOST = 10_000

Show = Callable[[dict[str, Any], int], Response]
SignIn = Callable[[Request, str, int, str], Response]


class _Pending:
    """Log-ins under way, each of which comes back once. The oldest go when there are too many: anybody may begin one."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._kept: OrderedDict[str, tuple[Asking, str, float]] = OrderedDict()

    def begin(self, back: str, after: str) -> Asking:
        state, nonce, verifier = (secrets.token_urlsafe(32) for _ in range(3))
        asking = Asking(state, nonce, verifier, back)
        with self._lock:
            self._kept[asking.state] = asking, after, time.monotonic()
            while len(self._kept) > _MOST:
                self._kept.popitem(last=False)
        return asking

    def end(self, state: str, browser: str) -> tuple[Asking, str]:
        with self._lock:
            asking, after, began = self._kept.pop(state, (None, "", 0.0))
        if (
            asking is None
            or time.monotonic() - began > _WITHIN_S
            or not hmac.compare_digest(state.encode(), browser.encode())
        ):
            raise Unauthenticated(
                "This log-in was not begun in this browser, has come back before, or took longer than ten minutes.",
                fix="Log in again.",
            )
        return asking, after


def routes(
    workspace: Workspace, settings: OidcSettings, show: Show, sign_in: SignIn, inside: Callable[[str], str]
) -> list[Route]:
    """The two routes, there and back.

    Args:
        workspace: The server's.
        settings: The provider's.
        show: Makes the log-in page of a context and a status.
        sign_in: Makes the answer that begins a session: of the request, its token, its seconds and where it goes on.
        inside: Lets only addresses of this server's own pages through.

    Raises:
        InvalidSetting: The settings do not fit.
        MissingExtra: What verifies ID tokens is not installed.
    """
    check_role(settings)
    provider: Provider = load("log_in", "oidc")(settings)
    pending = _Pending()

    async def begin(request: Request) -> Response:
        after = inside(request.query_params.get("next", ""))
        asking = pending.begin(f"{request.url.scheme}://{request.url.netloc}{below(BACK)}", after)
        try:
            answer = RedirectResponse(await run_in_threadpool(provider.address, asking), 303)
        except SlipwayError as problem:
            return show({"next": after, "refused": problem}, errors.status_of(problem))
        is_https = request.scope["scheme"] == "https"
        answer.set_cookie(
            _COOKIE, asking.state, max_age=_WITHIN_S, path=below(BACK), httponly=True, samesite="lax", secure=is_https
        )
        return answer

    async def back(request: Request) -> Response:
        given = request.query_params

        def work() -> tuple[str, int, str]:
            asking, after = pending.end(given.get("state", ""), request.cookies.get(_COOKIE, ""))
            if "code" not in given or given.get("iss", settings.issuer) != settings.issuer:
                raise Unauthenticated(
                    f"The provider let nobody in: {given.get('error', 'it gave no code')[:100]!r}.",
                    fix="Log in again; if it fails again, ask whoever runs the provider.",
                )
            claims = provider.claims(asking, given["code"], datetime.now(UTC))
            identity = identity_by_claims(workspace, settings, claims)
            session, text = tokens.log_in(replace(workspace, actor=identity.actor_in("")), identity)
            return text, int((session.expires_at - workspace.clock.now()).total_seconds()), after

        try:
            text, seconds, after = await run_in_threadpool(work)
        except SlipwayError as problem:
            answer = show({"next": below("/"), "refused": problem}, errors.status_of(problem))
        else:
            answer = sign_in(request, text, seconds, after)
        answer.delete_cookie(_COOKIE, path=below(BACK))
        return answer

    return [Route(BEGIN, begin, methods=["GET"]), Route(BACK, back, methods=["GET"])]
