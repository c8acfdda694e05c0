"""Which revision answers: read from a signed file, loaded beside the old one, swapped while requests go on.

`revision.json` in the endpoint's folder is the desired state: a DSSE envelope around a `Revision`, replaced by rename. A
revision that cannot be verified, loaded or warmed leaves the old one serving. The last one that did load is kept as
`revision.good.json`, so that a worker which starts while a bad revision lies there still answers.
"""

import logging
import os
import threading
from collections.abc import Callable
from pathlib import Path

import msgspec

from slipway.errors import Corrupt, NotFound, SlipwayError
from slipway.ports.signer import Signer
from slipway.records.endpoints import Revision
from slipway.serving.active import Active
from slipway.serving.counters import SWAPS, SWAPS_REFUSED, Counters

__all__ = [
    "GOOD_FILE",
    "LOOK_EVERY_S",
    "REVISION_FILE",
    "REVISION_TYPE",
    "Swap",
    "former_file",
    "publish",
    "read_desired",
    "read_good",
    "read_revision",
]

REVISION_FILE = "revision.json"
GOOD_FILE = "revision.good.json"
REVISION_TYPE = "application/vnd.slipway.revision+json"
LOOK_EVERY_S = 0.2
_logger = logging.getLogger("slipway.serving")


def publish(folder: Path, revision: Revision, signer: Signer) -> None:
    """Make a revision the desired state of the endpoint in a folder: signed, whole or not at all, durable.

    The bundle that it names must be in the folder already.
    """
    _replace(folder / REVISION_FILE, signer.sign(msgspec.json.encode(revision), REVISION_TYPE))


def read_revision(path: Path, signer: Signer) -> Revision:
    """Read and verify a revision file.

    Raises:
        NotFound: There is none.
        Corrupt: It is damaged, altered, or signed by nobody who is trusted here.
    """
    return _decode(_read(path), signer)


def former_file(folder: Path, environment: str) -> Path:
    """Where what last served in an environment is kept once another environment serves: its workers stay warm with it."""
    return folder / f"revision.good.{environment[:16] or 'own'}.json"


def read_desired(folder: Path, signer: Signer) -> Revision:
    """What an endpoint's folder says should serve: the published revision, or the last good one if that is refused.

    Raises:
        NotFound: Nothing was published.
        Corrupt: Neither can be trusted.
    """
    good = read_good(folder, signer)
    try:
        desired = read_revision(folder / REVISION_FILE, signer)
        _check_home(folder, desired)
        _check_follows(good, desired)
    except SlipwayError:
        if good is None:
            raise
        return good
    return desired


class Swap:
    """Holds what answers now, and replaces it when another revision is published.

    Args:
        folder: The endpoint's folder.
        signer: Verifies revisions.
        load: Loads a revision's bundle and warms it up; raises when anything about it is wrong.
        counters: Where swaps and refusals are counted.
        changed: Called with this object after each swap and each refusal.
        environment: The lock of the environment that this process runs in, "" for the endpoint's own interpreter. What
            is published for another one is other workers' matter; what serves here stays warm for the way back.

    Attributes:
        active: What answers now, None before the first revision is loaded.
        refused: The number of a published revision that cannot be loaded, 0 for none.
        note: A sentence where something is wrong, "" otherwise.
        stands_by: Whether what is published is for another environment.
    """

    def __init__(
        self,
        folder: Path,
        signer: Signer,
        load: Callable[[Revision], Active],
        counters: Counters,
        changed: Callable[["Swap"], None] = lambda swap: None,
        *,
        environment: str = "",
    ) -> None:
        self._folder = folder
        self._signer = signer
        self._load = load
        self._counters = counters
        self._changed = changed
        self._seen: tuple[int, int, int] | None = None
        self._refusal: Exception | None = None
        self._trying = 0
        self._environment = environment
        self.active: Active | None = None
        self.stands_by = False
        self.refused = 0
        self.note = ""

    @property
    def number(self) -> int:
        """The number of the revision that serves, 0 for none."""
        return self.active.revision.number if self.active else 0

    def load_first(self) -> None:
        """Load what is published, or what last served when that cannot be loaded.

        Raises:
            Exception: Neither can be loaded; it says why the published one cannot, or the last good one.
        """
        self.look()
        if self.active is not None:
            self.look()  # what was published meanwhile: from here on the supervisor waits for this worker too
            return
        good = read_good(self._folder, self._signer)
        serves_elsewhere = good is None or good.served.environment != self._environment
        if self.stands_by:
            kept = former_file(self._folder, self._environment) if serves_elsewhere else self._folder / GOOD_FILE
            self._take(_read(kept), is_former=True)
            return
        note, refused = self.note, self.refused
        if serves_elsewhere:
            raise self._refusal or _no_revision(self._folder / REVISION_FILE)
        self._take(_read(self._folder / GOOD_FILE))
        self.refused, self.note = refused, f"{note} Revision {self.number}, the last good one, serves."
        self._tell()

    def look(self) -> bool:
        """Look once for another revision and swap to it; returns whether another one serves now.

        A revision that cannot serve is said in `note` and not tried again until the file changes.
        """
        seen = self._stamp()
        if seen is None or seen == self._seen:
            return False
        self._seen = seen
        self._trying = 0
        try:
            swapped = self._take(_read(self._folder / REVISION_FILE))
        except Exception as problem:
            # Whatever is wrong with a new revision, also inside its own code, must not harm the one that serves.
            self._refusal, self.refused = problem, self._trying
            self._counters.add(SWAPS_REFUSED)
            serving = f" Revision {self.number} goes on serving." if self.active else ""
            self.note = f"The published revision cannot be loaded: {_sentence(problem)}{serving}"
            _logger.error("%s", self.note, exc_info=None if isinstance(problem, SlipwayError) else problem)
            self._tell()
            return False
        return swapped

    def watch(self, stop: threading.Event, each_time: Callable[[], None] = lambda: None) -> None:
        """Look every `LOOK_EVERY_S` until told to stop; `each_time` is called before each look."""
        while not stop.wait(LOOK_EVERY_S):
            each_time()
            self.look()

    def _take(self, envelope: bytes, *, is_former: bool = False) -> bool:
        """Load what an envelope holds, and let it serve.

        Args:
            envelope: The signed revision.
            is_former: Whether it is what served in this environment before another one took over.
        """
        revision = _decode(envelope, self._signer)
        _check_home(self._folder, revision)
        if revision.served.environment != self._environment:
            if not self.stands_by:
                self.stands_by = True
                self._tell()
            return False
        self.stands_by = is_former
        if self.active is not None and revision == self.active.revision:
            self.refused, self.note = 0, ""
            self._tell()
            return False
        # At a first load the last good one stands for what served before: an old file is no roll-back then either.
        if not is_former:
            _check_follows(self.active.revision if self.active else read_good(self._folder, self._signer), revision)
        self._trying = revision.number
        loaded = self._load(revision)
        good = read_good(self._folder, self._signer)
        if good is None or good.number < revision.number:  # another worker may be ahead
            if good is not None and good.served.environment != self._environment:
                _replace(former_file(self._folder, good.served.environment), _read(self._folder / GOOD_FILE))
            _replace(self._folder / GOOD_FILE, envelope)
        self.active = loaded  # one assignment: a request sees the old one or the new one, never a mixture
        self.refused, self.note = 0, ""
        self._counters.add(SWAPS)
        self._tell()
        return True

    def _tell(self) -> None:
        self._changed(self)

    def _stamp(self) -> tuple[int, int, int] | None:
        try:
            found = os.stat(self._folder / REVISION_FILE)
        except FileNotFoundError:
            return None
        return found.st_mtime_ns, found.st_ino, found.st_size


def read_good(folder: Path, signer: Signer) -> Revision | None:
    """The revision of this endpoint that last served, None where there is none that can be trusted."""
    try:
        good = read_revision(folder / GOOD_FILE, signer)
        _check_home(folder, good)
    except NotFound:
        return None
    except Corrupt as problem:
        _logger.error("%s is passed over: %s", folder / GOOD_FILE, problem)
        return None
    return good


def _check_home(folder: Path, revision: Revision) -> None:
    home = (folder.parent.name, folder.name)
    if (revision.project, revision.name) != home:
        raise Corrupt(
            f"The revision is for the endpoint {revision.project}/{revision.name}; {'/'.join(home)} lives here.",
            fix="Publish it into its own endpoint's folder.",
        )


def _check_follows(old: Revision | None, new: Revision) -> None:
    if old is None or new == old:
        return
    if new.number <= old.number:
        raise Corrupt(
            f"{'Another revision' if new.number == old.number else 'Revision'} {new.number} was published, "
            f"and {old.number} serves.",
            why="Revisions only count upwards: an old file that comes back is no roll-back.",
            fix="Roll back with `slipway rollback`, which makes a new revision.",
        )


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except FileNotFoundError:
        raise _no_revision(path) from None


def _no_revision(path: Path) -> NotFound:
    return NotFound(
        f"There is no {path.name} in {path.parent}.",
        why="It says which model this endpoint serves.",
        fix="Deploy a model to the endpoint first: `slipway deploy`.",
    )


def _decode(envelope: bytes, signer: Signer) -> Revision:
    payload = signer.verify(envelope, REVISION_TYPE)
    try:
        return msgspec.json.decode(payload, type=Revision)
    except msgspec.DecodeError as problem:
        raise Corrupt(
            f"The published revision is signed, but cannot be read: {problem}.",
            fix="Deploy again with the Slipway release that this endpoint runs.",
        ) from problem


def _sentence(problem: Exception) -> str:
    return str(problem) if isinstance(problem, SlipwayError) else f"{type(problem).__name__}: {problem}."


def _replace(path: Path, data: bytes) -> None:
    part = path.with_name(f".{path.name}.{os.getpid()}.part")
    with part.open("wb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())
    part.rename(path)
