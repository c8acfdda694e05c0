"""The online store that settings or an endpoint's folder name: by its URL, with the password out of the environment."""

import os
import re
from functools import partial
from pathlib import Path
from urllib.parse import urlsplit

from slipway import plugins
from slipway.errors import InvalidSetting
from slipway.ports.online_store import OnlineStore
from slipway.records.endpoints import EMBEDDED, OnlinePlace
from slipway.serving.online_place import read_place

__all__ = ["check_url", "open_online", "open_to_serve"]

_VARIABLE = re.compile(r"\$\{([A-Za-z_][A-Za-z0-9_]*)\}")
_WHOLE = "env:"
_BACKENDS = {"redis": "redis", "rediss": "redis", "unix": "redis"}


def check_url(url: str) -> None:
    """Refuse a URL in settings that names no store, or holds a password: settings are read by many and kept for long.

    Raises:
        InvalidSetting: It does.
    """
    if not url or url.startswith(_WHOLE):
        return
    parts = urlsplit(url)
    if parts.scheme not in _BACKENDS:
        raise InvalidSetting(
            f"The setting online = {_without_password(url)!r} names no online store.",
            why=f"Known are: {', '.join(f'{scheme}://' for scheme in _BACKENDS)}.",
            fix='For example online = "redis://127.0.0.1:6379/0"; without it the store is embedded.',
        )
    secrets = [parts.password or "", *re.findall(r"[?&]password=([^&]*)", url)]
    if any(secret and not _VARIABLE.fullmatch(secret) for secret in secrets):
        raise InvalidSetting(
            f"The setting online = {_without_password(url)!r} holds a password.",
            why="slipway.toml is kept in version control, and its values in records.",
            fix='Name an environment variable: online = "redis://:${REDIS_PASSWORD}@host:6379/0", or "env:REDIS_URL".',
        )


def open_online(folder: Path, place: OnlinePlace = EMBEDDED) -> OnlineStore:
    """Open an endpoint's online store to load it; see `ports.workspace.OpenOnline`."""
    store: OnlineStore
    if not place.url:
        store = plugins.load("online", "sqlite")(folder / "online.db")
    else:
        store = _backend(place)(_resolved(place.url), place.namespace)
    return store


def open_to_serve(folder: Path) -> OnlineStore:
    """Open the online store that an endpoint's folder names, as it was loaded: one that was emptied since is refused."""
    place = read_place(folder)
    if not place.url:
        return open_online(folder)
    store: OnlineStore = _backend(place)(_resolved(place.url), place.namespace, partial(_expected, folder, place))
    return store


def _backend(place: OnlinePlace) -> type:
    scheme = urlsplit(_resolved(place.url)).scheme
    if scheme not in _BACKENDS:
        raise InvalidSetting(
            f"The online store's URL begins with {scheme!r}.",
            why=f"Known are: {', '.join(f'{known}://' for known in _BACKENDS)}.",
            fix="Correct the environment variable that holds it.",
        )
    found: type = plugins.load("online", _BACKENDS[scheme])
    return found


def _expected(folder: Path, opened: OnlinePlace) -> str:
    """The content that was loaded last; the former one's while the endpoint is being moved to another store."""
    place = read_place(folder)
    return place.identity if (place.url, place.namespace) == (opened.url, opened.namespace) else opened.identity


def _resolved(url: str) -> str:
    """A URL with the values of the environment variables that it names."""
    if url.startswith(_WHOLE):
        return _value_of(url.removeprefix(_WHOLE))
    return _VARIABLE.sub(lambda found: _value_of(found[1]), url)


def _value_of(variable: str) -> str:
    value = os.environ.get(variable)
    if not value:
        raise InvalidSetting(
            f"The environment variable {variable} is not set, which the setting of the online store names.",
            why="Passwords are never kept in slipway.toml, in records or in an endpoint's folder.",
            fix=f"Set it where the project, the server and the endpoints run: export {variable}=...",
        )
    return value


def _without_password(url: str) -> str:
    return re.sub(r"(?<=:)[^:/@]*(?=@)|(?<=password=)[^&]*", "...", url)
