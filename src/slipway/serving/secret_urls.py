"""URLs of servers whose password is in the environment, never in settings, declarations or records."""

import os
import re
from typing import NamedTuple
from urllib.parse import quote, urlsplit

from slipway.errors import InvalidSetting

__all__ = ["POSTGRES", "REDIS", "Server", "check_url", "resolved"]

_VARIABLE = re.compile(r"\$\{([A-Za-z_][A-Za-z0-9_]*)\}")
_WHOLE = "env:"


class Server(NamedTuple):
    """What sort of server a URL names.

    Args:
        name: What people call it.
        schemes: What the URL may begin with.
        example: One for a message.
        secret: How its password is named, and how the whole URL.
    """

    name: str
    schemes: tuple[str, ...]
    example: str
    secret: str


REDIS = Server(
    "Redis",
    ("redis", "rediss", "unix"),
    'For example "redis://127.0.0.1:6379/0".',
    '"redis://:${REDIS_PASSWORD}@host:6379/0", or "env:REDIS_URL" for all of it.',
)
POSTGRES = Server(
    "PostgreSQL database",
    ("postgresql", "postgres"),
    'For example "postgresql://slipway@127.0.0.1:5432/slipway".',
    '"postgresql://slipway:${PGPASSWORD}@host/slipway", or "env:DATABASE_URL" for all of it.',
)


def check_url(url: str, what: str, server: Server = REDIS) -> None:
    """Refuse a URL that names no server, or holds a password: settings and declarations are read by many.

    Args:
        url: The URL; "" and "env:NAME" pass.
        what: Where it stands: "the setting online".
        server: What it must name.

    Raises:
        InvalidSetting: It does.
    """
    if not url or url.startswith(_WHOLE):
        return
    parts = urlsplit(url)
    if parts.scheme not in server.schemes:
        raise InvalidSetting(
            f"{what} is {_without_password(url)!r}, which names no {server.name}.",
            why=f"Known are: {', '.join(f'{scheme}://' for scheme in server.schemes)}.",
            fix=server.example,
        )
    secrets = [parts.password or "", *re.findall(r"[?&]password=([^&]*)", url)]
    if any(secret and not _VARIABLE.fullmatch(secret) for secret in secrets):
        raise InvalidSetting(
            f"{what} is {_without_password(url)!r}, which holds a password.",
            why="It is kept in version control, and in records.",
            fix=f"Name an environment variable: {server.secret}",
        )


def resolved(url: str, *, is_quoted: bool = False) -> str:
    """A URL with the values of the environment variables that it names.

    Args:
        url: The URL.
        is_quoted: Whether values that stand inside the URL are written as URLs write them.

    Raises:
        InvalidSetting: One is not set.
    """
    if url.startswith(_WHOLE):
        return _value_of(url.removeprefix(_WHOLE))
    return _VARIABLE.sub(lambda found: quote(_value_of(found[1]), safe="") if is_quoted else _value_of(found[1]), url)


def _value_of(variable: str) -> str:
    value = os.environ.get(variable)
    if not value:
        raise InvalidSetting(
            f"The environment variable {variable} is not set, which the URL of a server names.",
            why="Passwords are never kept in slipway.toml, in records or in an endpoint's folder.",
            fix=f"Set it where the project, the server and the endpoints run: export {variable}=...",
        )
    return value


def _without_password(url: str) -> str:
    return re.sub(r"(?<=:)[^:/@]*(?=@)|(?<=password=)[^&]*", "...", url)
