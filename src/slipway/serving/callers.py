"""Who calls: a bearer token is looked up in what the endpoint's folder says, one look-up and one digest a request.

`callers.json` is signed by the store and written anew when people or tokens change there. A worker looks at the file as
often as for revisions, and at once when a token is shown that it does not know, so that a new one is good immediately.
Where the store knew people when the endpoint was deployed, or the file was there once, a missing or damaged file lets
nobody in who was not let in before. Source: RFC 6750 (bearer tokens).
"""

import hmac
import logging
import os
from collections.abc import Callable, Iterable
from datetime import UTC, datetime
from pathlib import Path

import msgspec

from slipway.errors import Corrupt, Denied, SlipwayError, Unauthenticated
from slipway.hashing import digest
from slipway.ports.signer import Signer
from slipway.records.callers import CALLERS_FILE, CALLERS_TYPE, PREDICT, PUSH, READ, Caller, Callers

__all__ = ["LIMITED", "CallerCounts", "CallerList", "open_to_all", "read_seen"]

_RIGHTS = {"predict": PREDICT, "labels": PUSH, "events": PUSH, "endpoint": READ, "metrics": READ}
"""The right that a route asks for; none asks for being found healthy."""

LIMITED = "limited"
"""What a request counts as besides its route that was one too many of its caller."""

_WORDS = {PREDICT: "ask for predictions", PUSH: "send labels or events", READ: "see what it says of itself"}
_BEARER = b"bearer "
_SEEN = "seen"
_SEEN_EVERY_US = 60_000_000
_US = 1_000_000
_logger = logging.getLogger("slipway.serving")

Headers = Iterable[tuple[bytes, bytes]]
Now = Callable[[], datetime]
Admit = Callable[[Headers, str, Now], str]
"""Headers, route and business time to the caller's name, "" where nobody asks who calls."""


def open_to_all(headers: Headers, route: str, now: Now) -> str:
    """Whom an endpoint of a store that knows nobody admits: everybody."""
    return ""


class CallerList:
    """What a worker knows of callers.

    Args:
        folder: The endpoint's.
        signer: Verifies the file.
        is_known_store: Whether the store knew people when what serves was deployed.
    """

    def __init__(self, folder: Path, signer: Signer, is_known_store: Callable[[], bool]) -> None:
        self._path = folder / CALLERS_FILE
        self._home = (folder.parent.name, folder.name)
        self._signer = signer
        self._is_known_store = is_known_store
        self._seen: tuple[int, int, int] | None = None
        self._known: Callers | None = None
        self.look()

    def look(self) -> bool:
        """Read the file if it changed; says whether another list counts now. What cannot be used changes nothing."""
        seen = self._stamp()
        if seen is None or seen == self._seen:
            return False
        self._seen = seen
        try:
            found = msgspec.json.decode(self._signer.verify(self._path.read_bytes(), CALLERS_TYPE), type=Callers)
            self._check(found)
        except (OSError, Corrupt, msgspec.DecodeError) as problem:
            # Whoever was known stays known: an endpoint does not fall silent over a file that the next pass mends.
            _logger.error("%s is not used: %s", self._path, problem)
            self._known = self._known or Callers(project="", endpoint="", issued_us=0, tokens={})
            return False
        self._known = found
        return True

    def admit(self, headers: Headers, route: str, now: Now) -> str:
        """Who calls, and that they may.

        Args:
            headers: The request's.
            route: Where to, as metrics call it.
            now: Business time.

        Returns:
            The caller's name, "" where the store knows nobody.

        Raises:
            Unauthenticated: No token is shown, or one that is good for nothing.
            Denied: Its bearer has not the right that the route asks for.
        """
        known = self._known
        if known is None:
            if not self._is_known_store():
                return ""
            known = Callers(project="", endpoint="", issued_us=0, tokens={})
        id, secret = _shown(headers)
        found = known.tokens.get(id)
        if found is None and self.look() and self._known is not None:
            found = self._known.tokens.get(id)
        if found is None or not hmac.compare_digest(found.secret, digest(secret)):
            raise _unknown()
        if found.expires_us <= now().timestamp() * _US:
            raise Unauthenticated(
                f"The token of {found.name} has ended.", fix="Have another one made: slipway tokens add"
            )
        right = _RIGHTS.get(route)
        if right is not None and right not in found.rights:
            raise self._denied(found, right)
        return found.name

    def _check(self, found: Callers) -> None:
        if (found.project, found.endpoint) != self._home:
            raise Corrupt(f"It is the list of callers of {found.project}/{found.endpoint}.")
        if self._known is not None and found.issued_us < self._known.issued_us:
            raise Corrupt("An older list of callers came back.")

    def _denied(self, found: Caller, right: str) -> Denied:
        return Denied(
            f"{found.name} may not {_WORDS[right]} at {self._home[1]!r}.",
            why=f"It needs the permission {right!r} in {self._home[0]!r}, and no role or scope of this token grants it.",
            fix=f"Ask an admin: slipway people grant {found.name} 'software engineer' --in {self._home[0]}",
        )

    def _stamp(self) -> tuple[int, int, int] | None:
        try:
            found = os.stat(self._path)
        except OSError:
            return None
        return found.st_mtime_ns, found.st_ino, found.st_size


class CallerCounts:
    """How many requests each caller sent to each route, of all workers: each keeps a small file for the others.

    When each was seen last is kept by the endpoint's folder, to the minute, and outlives its processes: a contract must not
    break a caller because the endpoint was started anew.

    Args:
        folder: Where the files lie, None for this process's alone.
        slot: The worker's index; it goes on from what its predecessor in the slot had written.
        home: The endpoint's folder, None to keep nothing of when.
        now: Business time.
    """

    def __init__(
        self, folder: Path | None = None, slot: int = 0, *, home: Path | None = None, now: Now | None = None
    ) -> None:
        self._file = None if folder is None else folder / f"{slot}.callers"
        self._seen_file = None if home is None else home / _SEEN / f"{slot}.json"
        self._seen = {} if self._seen_file is None else _read_counts(self._seen_file)
        self._now = now
        self._mine: dict[str, int] = {} if self._file is None else _read_counts(self._file)
        self._written = dict(self._mine)

    def add(self, caller: str, route: str) -> None:
        """Count one request of somebody who is known."""
        key = f"{route} {caller}"
        self._mine[key] = self._mine.get(key, 0) + 1

    def write(self) -> None:
        """Tell the other workers, where something was counted since."""
        mine = dict(self._mine)
        if self._file is None or mine == self._written:
            return
        _write_counts(self._file, mine)
        if self._seen_file is not None and self._now is not None:
            self._note_seen(self._seen_file, self._now, [key for key in mine if mine[key] != self._written.get(key)])
        self._written = mine

    def _note_seen(self, file: Path, now: Now, keys: list[str]) -> None:
        try:
            at_us = int(now().timestamp() * _US)
        except SlipwayError:  # a simulation's clock that cannot be read was told to the log
            return
        if any(at_us - self._seen.get(key, 0) >= _SEEN_EVERY_US for key in keys):
            self._seen.update(dict.fromkeys(keys, at_us))
            _write_counts(file, self._seen)

    def text(self, endpoint: str) -> str:
        """All of it in Prometheus's text format."""
        self.write()
        total: dict[str, int] = {} if self._file is not None else dict(self._mine)
        for path in [] if self._file is None else self._file.parent.glob("*.callers"):
            for key, count in _read_counts(path).items():
                total[key] = total.get(key, 0) + count
        name = "slipway_caller_requests_total"
        lines = [f"# HELP {name} Requests by caller and route.", f"# TYPE {name} counter"]
        limited = []
        for key, count in sorted(total.items()):
            route, _, caller = key.partition(" ")
            who = f'endpoint="{endpoint}",caller="{caller}"'
            if route == LIMITED:
                limited.append(f"slipway_caller_limited_total{{{who}}} {count}")
            else:
                lines.append(f'{name}{{{who},route="{route}"}} {count}')
        if limited:
            name = "slipway_caller_limited_total"
            lines += [f"# HELP {name} Those beyond their caller's limit.", f"# TYPE {name} counter", *limited]
        return "\n".join(lines) + "\n" if total else ""


def read_seen(home: Path) -> dict[str, dict[str, datetime]]:
    """When who called an endpoint last (business time, to the minute), by caller and route: "predict", "labels", "events".

    Under "limited" stands when one of its requests was one too many.

    Args:
        home: The endpoint's folder.
    """
    found: dict[str, dict[str, datetime]] = {}
    for path in sorted((home / _SEEN).glob("*.json")):
        for key, at_us in _read_counts(path).items():
            route, _, caller = key.partition(" ")
            at = datetime.fromtimestamp(at_us / _US, UTC)
            of_caller = found.setdefault(caller, {})
            of_caller[route] = max(at, of_caller.get(route, at))
    return found


def _write_counts(file: Path, counts: dict[str, int]) -> None:
    part = file.with_suffix(".part")
    try:
        file.parent.mkdir(exist_ok=True)
        part.write_bytes(msgspec.json.encode(counts))
        part.replace(file)
    except OSError as problem:  # a full disk keeps no endpoint from answering
        _logger.error("%s cannot be written: %s", file, problem)


def _read_counts(path: Path) -> dict[str, int]:
    try:
        return msgspec.json.decode(path.read_bytes(), type=dict[str, int])
    except FileNotFoundError:
        return {}
    except (OSError, msgspec.DecodeError) as problem:
        _logger.error("%s cannot be read: %s", path, problem)
        return {}


def _shown(headers: Headers) -> tuple[str, bytes]:
    """The id and the secret of the token that a request shows: `slw_<id>_<secret>`."""
    for name, value in headers:
        if name == b"authorization":
            if value[:7].lower() == _BEARER:
                prefix, _, rest = value[7:].strip().partition(b"_")
                id, _, secret = rest.partition(b"_")
                if prefix == b"slw" and len(value) <= 256:
                    return id.decode("latin-1"), secret
            raise _unknown()
    raise Unauthenticated(
        "This endpoint does not know who calls.",
        why="Its store knows people, and it answers only to them.",
        fix="Send the header 'Authorization: Bearer TOKEN' (the command line: SLIPWAY_TOKEN). A token is made by: "
        "slipway tokens add",
    )


def _unknown() -> Unauthenticated:
    return Unauthenticated(
        "Nobody is known to this endpoint by this token.",
        why="It was mistyped, revoked, or has ended; or its store is another one.",
        fix="Ask an admin of its store for one: slipway tokens add",
    )
