"""The online store that settings or an endpoint's folder name: by its URL, with the password out of the environment."""

from contextlib import closing
from functools import partial
from pathlib import Path

from slipway import plugins
from slipway.errors import InvalidSetting
from slipway.ports.event_stream import EventStream
from slipway.ports.online_store import OnlineStore
from slipway.records.endpoints import EMBEDDED, OnlinePlace, StreamSpec
from slipway.serving.online_place import read_place
from slipway.serving.secret_urls import check_no_command, resolved

__all__ = ["look_at", "open_online", "open_stream", "open_to_serve"]

_BACKENDS = {"redis": "redis", "rediss": "redis", "unix": "redis"}


def open_online(folder: Path, place: OnlinePlace = EMBEDDED) -> OnlineStore:
    """Open an endpoint's online store to load it; see `ports.workspace.OpenOnline`."""
    store: OnlineStore
    if not place.url:
        store = plugins.load("online", "sqlite")(folder / "online.db")
    else:
        store = _backend(place)(partial(resolved, place.url), place.namespace)
    return store


def open_to_serve(folder: Path) -> OnlineStore:
    """Open the online store that an endpoint's folder names, as it was loaded: one that was emptied since is refused."""
    place = read_place(folder)
    if not place.url:
        return open_online(folder)
    store: OnlineStore = _backend(place)(
        partial(resolved, place.url), place.namespace, partial(_expected, folder, place)
    )
    return store


def look_at(url: str) -> tuple[str, str]:
    """What answers at the URL of a shared online store, and what should be changed about it, "" for nothing.

    Raises:
        InvalidSetting: The URL does not fit, or names a variable that is not set.
        MissingExtra: What it takes to ask there is not installed.
        BackendError: Nothing answers, or it refuses.
    """
    with closing(_backend(OnlinePlace(url=url))(partial(resolved, url), "slipway")) as store:
        found: tuple[str, str] = store.describe()
        return found


def open_stream(spec: StreamSpec, group: str) -> EventStream:
    """Open a stream of events for a group of readers."""
    stream: EventStream = plugins.load("stream", "redis")(partial(resolved, spec.url), spec.name, group)
    return stream


def _backend(place: OnlinePlace) -> type:
    check_no_command(place.url, "The endpoint's online store")
    scheme = resolved(place.url).partition(":")[0].lower()
    if scheme not in _BACKENDS:
        raise InvalidSetting(
            f"The online store's URL begins with {scheme!r}.",
            why=f"Known are: {', '.join(f'{known}://' for known in _BACKENDS)}.",
            fix="Correct it where it is kept.",
        )
    found: type = plugins.load("online", _BACKENDS[scheme])
    return found


def _expected(folder: Path, opened: OnlinePlace) -> str:
    """The content that was loaded last; the former one's while the endpoint is being moved to another store."""
    place = read_place(folder)
    return place.identity if (place.url, place.namespace) == (opened.url, opened.namespace) else opened.identity
