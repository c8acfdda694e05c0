"""URLs of servers whose password is kept elsewhere, never in settings, declarations or records."""

import re
from typing import NamedTuple
from urllib.parse import urlsplit

from slipway.errors import InvalidSetting
from slipway.ports.secrets import filled, is_kept_elsewhere, is_reference

__all__ = ["POSTGRES", "REDIS", "Server", "check_no_command", "check_url", "resolved"]


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
    '"redis://:${REDIS_PASSWORD}@host:6379/0", or "env:REDIS_URL" or "file:/run/secrets/redis" for all of it.',
)
POSTGRES = Server(
    "PostgreSQL database",
    ("postgresql", "postgres"),
    'For example "postgresql://slipway@127.0.0.1:5432/slipway".',
    '"postgresql://slipway:${PGPASSWORD}@host/slipway", or "env:DATABASE_URL" or "file:/run/secrets/ledger" for all of it.',
)


def check_url(url: str, what: str, server: Server = REDIS) -> None:
    """Refuse a URL that names no server, or holds a password: settings and declarations are read by many.

    Args:
        url: The URL; "" and what is kept elsewhere as a whole ("env:NAME", "file:/path", "command:...") pass.
        what: Where it stands: "the setting online".
        server: What it must name.

    Raises:
        InvalidSetting: It does.
    """
    if not url or is_kept_elsewhere(url):
        return
    try:
        parts = urlsplit(_without_paths(url))
    except ValueError:  # a bracket that is not closed
        parts = urlsplit("")
    if parts.scheme not in server.schemes:
        raise InvalidSetting(
            f"{what} is {_without_password(url)!r}, which names no {server.name}.",
            why=f"Known are: {', '.join(f'{scheme}://' for scheme in server.schemes)}.",
            fix=server.example,
        )
    secrets = [parts.password or "", *re.findall(r"[?&]password=([^&]*)", url)]
    if any(secret and not is_reference(secret) for secret in secrets):
        raise InvalidSetting(
            f"{what} is {_without_password(url)!r}, which holds a password.",
            why="It is kept in version control, and in records.",
            fix=f"Name an environment variable, or a file (${{file:/path}}): {server.secret}",
        )


def check_no_command(url: str, what: str) -> None:
    """Refuse a URL that would have a command run where an endpoint's folder, which is not signed as a whole, names it.

    Raises:
        InvalidSetting: It would.
    """
    if "command:" in url:
        raise InvalidSetting(
            f"{what} names a command, which endpoints would run.",
            why="What an endpoint's folder says must not run anything.",
            fix="Let the command write a file, and name that: file:/run/secrets/redis",
        )


def resolved(url: str, *, is_quoted: bool = False) -> str:
    """A URL with the secrets that it names.

    Args:
        url: The URL.
        is_quoted: Whether values that stand inside the URL are written as URLs write them.

    Raises:
        InvalidSetting: One cannot be read.
    """
    return filled(url, is_quoted=is_quoted)


def _without_paths(url: str) -> str:
    """A URL whose references to files and commands have no slash in them, to be taken apart."""
    return re.sub(r"\$\{(?:file|command):[^}]+\}", "${SECRET}", url)


def _without_password(url: str) -> str:
    return re.sub(r"(?<=:)[^:/@]*(?=@)|(?<=password=)[^&]*", "...", url)
