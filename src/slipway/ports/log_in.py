"""A provider that says who somebody is: they are sent there, and come back with a code."""

from collections.abc import Mapping
from datetime import datetime
from typing import Any, NamedTuple, Protocol

__all__ = ["Asking", "Provider"]


class Asking(NamedTuple):
    """A log-in under way.

    Args:
        state: Comes back with the code, and binds it to the browser that began.
        nonce: Comes back in the ID token, and binds that to this log-in.
        verifier: Proves to the provider that whoever has the code also began (PKCE).
        back: Where the provider sends the browser.
    """

    state: str
    nonce: str
    verifier: str
    back: str


class Provider(Protocol):
    """See `backends.oidc`."""

    def address(self, asking: Asking) -> str:
        """Where a browser is sent to.

        Raises:
            Unavailable: The provider does not answer, or not as one.
        """
        ...

    def claims(self, asking: Asking, code: str, now: datetime) -> Mapping[str, Any]:
        """What the provider says of whoever came back with a code, verified.

        Raises:
            Unauthenticated: The code or the ID token is good for nothing.
            Unavailable: The provider does not answer, or not as one.
        """
        ...
