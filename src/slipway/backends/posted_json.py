"""JSON that is posted to an address outside, once, and what the far side said of it."""

from collections.abc import Callable

import httpx

from slipway.errors import SlipwayError
from slipway.ports.notifier import Outcome
from slipway.ports.trust import trusted

__all__ = ["post"]

_WITHIN = httpx.Timeout(10.0, connect=5.0)
_LATER = (408, 425, 429)
_HERE = ("127.0.0.1", "localhost", "::1")


def post(url: str, body: bytes, headers: dict[str, str], handing_over: Callable[[], None]) -> Outcome:
    """Post to an address, which may be a secret itself: no problem shows more of it than the host.

    Args:
        url: Where to.
        body: JSON.
        headers: Beside those of JSON.
        handing_over: See `Notifier.send`.
    """
    try:
        host = httpx.URL(url).host
        scheme = httpx.URL(url).scheme
    except httpx.InvalidURL:
        host = scheme = ""
    if scheme not in ("http", "https") or not host:
        return Outcome("refused", "The channel's address is no http:// or https:// address.")
    is_handed = False
    try:
        # Proxies of the environment are for the world outside.
        with httpx.Client(timeout=_WITHIN, verify=trusted(), trust_env=host not in _HERE) as client:
            handing_over()
            is_handed = True
            answer = client.post(url, content=body, headers={"content-type": "application/json", **headers})
    except SlipwayError:
        raise
    except (httpx.ConnectError, httpx.ConnectTimeout) as problem:
        return Outcome("later", f"{host} cannot be reached: {problem or type(problem).__name__}.")
    except (httpx.HTTPError, OSError, ValueError) as problem:
        kind = type(problem).__name__
        return Outcome("unsure", f"{host} was cut off: {kind}.") if is_handed else Outcome("later", f"{host}: {kind}.")
    if answer.is_success:
        return Outcome("taken")
    is_later = answer.status_code in _LATER or answer.status_code >= 500
    return Outcome("later" if is_later else "refused", f"{host} answered {answer.status_code}.")
