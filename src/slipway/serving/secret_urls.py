"""URLs of servers whose password is in the environment, never in settings, declarations or records."""

import os
import re
from urllib.parse import urlsplit

from slipway.errors import InvalidSetting

__all__ = ["check_url", "resolved"]

_VARIABLE = re.compile(r"\$\{([A-Za-z_][A-Za-z0-9_]*)\}")
_WHOLE = "env:"
_SCHEMES = ("redis", "rediss", "unix")


def check_url(url: str, what: str) -> None:
    """Refuse a URL that names no server, or holds a password: settings and declarations are read by many.

    Args:
        url: The URL; "" and "env:NAME" pass.
        what: Where it stands: "the setting online".

    Raises:
        InvalidSetting: It does.
    """
    if not url or url.startswith(_WHOLE):
        return
    parts = urlsplit(url)
    if parts.scheme not in _SCHEMES:
        raise InvalidSetting(
            f"{what} is {_without_password(url)!r}, which names no Redis.",
            why=f"Known are: {', '.join(f'{scheme}://' for scheme in _SCHEMES)}.",
            fix='For example "redis://127.0.0.1:6379/0".',
        )
    secrets = [parts.password or "", *re.findall(r"[?&]password=([^&]*)", url)]
    if any(secret and not _VARIABLE.fullmatch(secret) for secret in secrets):
        raise InvalidSetting(
            f"{what} is {_without_password(url)!r}, which holds a password.",
            why="It is kept in version control, and in records.",
            fix='Name an environment variable: "redis://:${REDIS_PASSWORD}@host:6379/0", or "env:REDIS_URL" for all of it.',
        )


def resolved(url: str) -> str:
    """A URL with the values of the environment variables that it names.

    Raises:
        InvalidSetting: One is not set.
    """
    if url.startswith(_WHOLE):
        return _value_of(url.removeprefix(_WHOLE))
    return _VARIABLE.sub(lambda found: _value_of(found[1]), url)


def _value_of(variable: str) -> str:
    value = os.environ.get(variable)
    if not value:
        raise InvalidSetting(
            f"The environment variable {variable} is not set, which the URL of a Redis names.",
            why="Passwords are never kept in slipway.toml, in records or in an endpoint's folder.",
            fix=f"Set it where the project, the server and the endpoints run: export {variable}=...",
        )
    return value


def _without_password(url: str) -> str:
    return re.sub(r"(?<=:)[^:/@]*(?=@)|(?<=password=)[^&]*", "...", url)
