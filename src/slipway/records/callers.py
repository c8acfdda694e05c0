"""Who may call an endpoint: what its folder says, so that its process asks no ledger."""

from msgspec import Struct

__all__ = ["CALLERS_FILE", "CALLERS_TYPE", "PREDICT", "PUSH", "READ", "Caller", "Callers"]

CALLERS_FILE = "callers.json"
CALLERS_TYPE = "application/vnd.slipway.callers+json"
PREDICT = "endpoints.predict"
PUSH = "endpoints.push"
READ = "endpoints.read"


class Caller(Struct, frozen=True):
    """A token's bearer.

    Args:
        name: Whose token it is.
        secret: The digest of its secret.
        expires_us: When it ends (business time), microseconds since the epoch.
        rights: Which of the rights on this endpoint they have: `PREDICT`, `PUSH` for labels and events, `READ` for what it
            says of itself.
    """

    name: str
    secret: str
    expires_us: int
    rights: tuple[str, ...]


class Callers(Struct, frozen=True, kw_only=True):
    """Everybody whose token an endpoint knows; those who may nothing there are told so, not that they are unknown.

    Args:
        project: The endpoint's.
        endpoint: Its name.
        issued_us: Counts upwards, so that an old list that comes back is none.
        tokens: By the tokens' ids.
    """

    project: str
    endpoint: str
    issued_us: int
    tokens: dict[str, Caller]
