"""Where a store's ledger lies: in the store's folder, or in the PostgreSQL database that settings name.

The folder keeps the URL as settings write it, without any secret, so that whatever opens the store by its folder alone
(`slipway up --root`, pipelines and syncs that run detached) opens the same ledger.
"""

from collections.abc import Callable
from functools import partial
from pathlib import Path
from urllib.parse import urlsplit

from msgspec import Struct

from slipway import plugins
from slipway.errors import BackendError, Conflict, InvalidSetting, NotFound
from slipway.ledger.copying import mark_of
from slipway.ports.ledger_store import LedgerStore
from slipway.serving.secret_urls import POSTGRES, check_url, resolved
from slipway.whole_files import write_whole

__all__ = ["FORMAT", "Upgrade", "is_store", "look_at", "open_ledger", "open_unfinished", "upgrade_ledger", "upgraded"]

FORMAT = 1
"""The format of what lies beside the ledger: logs, parts, manifests, bundles, revisions. A release that writes any of it so
that earlier ones would misread it counts this up; then they refuse the store. A field with a default is no such change."""
_FORMAT_REF = ("", "store", "format")
_DATABASE = "ledger.db"
_URL_FILE = "ledger.url"


class Upgrade(Struct, frozen=True, kw_only=True):
    """What came of bringing a store's ledger to this release's schema.

    Args:
        database: "sqlite" or "postgres".
        schema: Which one it has now.
        before: Which one it had, 0 where it had this one.
        kept: Where the ledger lies as it was before, "" for a database's: copies of that are its keeper's.
    """

    database: str
    schema: int
    before: int
    kept: str = ""

    @property
    def sentence(self) -> str:
        """In words."""
        if not self.before:
            return f"The ledger is of this release's schema already, {self.schema}: nothing was to be done."
        words = f"The ledger was brought from schema {self.before} to {self.schema}."
        return (
            f"{words} As it was it lies in {self.kept}; remove it when you do not want to go back."
            if self.kept
            else words
        )


def upgraded(ledger: LedgerStore, root: Path) -> Upgrade:
    """What opening a store's ledger has brought up to date.

    Args:
        ledger: The ledger, as it was opened.
        root: The store's folder.
    """
    before, is_file = ledger.upgraded_from, ledger.database == "sqlite"
    kept = str(root / f"ledger.schema-{before}.db") if before and is_file else ""
    return Upgrade(database=ledger.database, schema=ledger.schema, before=before, kept=kept)


def upgrade_ledger(root: Path, url: str | None = None) -> Upgrade:
    """Bring a store's ledger to this release's schema. Who is killed leaves it as it was; of several, one does it.

    Args:
        root: See `open_ledger`.
        url: See `open_ledger`.

    Raises:
        NotFound: There is no store.
        BackendError: It is of a newer release.
    """
    if not is_store(root):
        raise NotFound(f"There is no store in {root}.", fix="It is made when something is first kept there.")
    ledger = open_unfinished(root, url, upgrade=True)
    try:
        return upgraded(ledger, root)
    finally:
        ledger.close()


def is_store(root: Path) -> bool:
    """Whether a folder is a store's that was opened before."""
    return (root / _DATABASE).is_file() or (root / _URL_FILE).is_file()


def open_ledger(root: Path, url: str | None = None) -> LedgerStore:
    """Open a store's ledger.

    Args:
        root: The store's folder; made when it is missing.
        url: The URL that the environment's settings name, "" for a file in the folder; None for what the folder says.

    Raises:
        InvalidSetting: The folder's ledger lies elsewhere, the URL does not fit, or a variable that it names is not set.
        Conflict: It is a copy that is not whole yet.
        BackendError: A newer Slipway wrote it, or what lies beside it; or it must be upgraded first.
        Unavailable: The database cannot be reached.
    """
    ledger = open_unfinished(root, url)
    try:
        with ledger.read() as tx:
            told, written = mark_of(tx), int(tx.ref(*_FORMAT_REF) or 1)
        if written > FORMAT:
            raise BackendError(
                f"The store {root} was written by a newer Slipway (its files are of format {written}, this one knows "
                f"{FORMAT}).",
                fix="Upgrade Slipway, or open another store.",
            )
        if written < FORMAT:
            _say_format(ledger)
        if told is not None:
            raise Conflict(
                f"The store {root} is a copy that is not whole: it is being filled from {told.source}.",
                why="It was broken off, it goes on now, or it was found to differ.",
                fix=f"Let it come to its end: {told.command}",
            )
    except BaseException:
        ledger.close()
        raise
    return ledger


def _say_format(ledger: LedgerStore) -> None:
    """From now on earlier releases refuse the store; of several that say so at once one does."""
    with ledger.write() as tx:
        told = tx.ref(*_FORMAT_REF)
        if int(told or 1) < FORMAT:
            tx.set_ref(*_FORMAT_REF, str(FORMAT), expect=told)


def open_unfinished(root: Path, url: str | None = None, *, upgrade: bool = False) -> LedgerStore:
    """Open a store's ledger even where it is a copy that is not whole, see `open_ledger`: for whoever copies.

    Args:
        root: See `open_ledger`.
        url: See `open_ledger`.
        upgrade: Whether a database of an older schema is brought up to this one's; a file is in any case.

    Raises:
        InvalidSetting: See `open_ledger`.
        Unavailable: The database cannot be reached.
    """
    file = root / _URL_FILE
    kept = file.read_text().strip() if file.is_file() else ""
    wanted = kept if url is None else url
    store: LedgerStore
    if not wanted:
        if kept:
            raise InvalidSetting(
                f"The ledger of the store {root} lies in the database {kept!r}, and slipway.toml names none.",
                why="Another ledger beside it would split the project.",
                fix=f'Name it in slipway.toml: ledger = "{kept}"; or name another folder: store = "...".',
            )
        store = plugins.load("ledger", "sqlite")(root / _DATABASE)
        return store
    if (root / _DATABASE).is_file():
        raise InvalidSetting(
            f"The store {root} has its ledger in a file already, and slipway.toml names the database {wanted!r}.",
            why="What is in the file would not be found any more.",
            fix="Let it move: name the database in a section of its own with another folder, and type: "
            "slipway env copy FROM TO; or leave the setting ledger out.",
        )
    address = _address(wanted)  # a URL that does not fit is told where no driver is installed too
    store = plugins.load("ledger", "postgres")(address, upgrade=upgrade)
    if wanted != kept:
        root.mkdir(parents=True, exist_ok=True)
        write_whole(file, f"{wanted}\n".encode())
    return store


def look_at(url: str) -> int:
    """Ask the database that a setting names whether it can have a ledger; nothing is written there, nor anywhere.

    Returns:
        The schema of the ledger that it has, 0 where it has none yet.

    Raises:
        InvalidSetting: The URL does not fit, or a variable that it names is not set.
        Unavailable: The database cannot be reached.
        BackendError: It cannot have a ledger, or has one of a newer release.
    """
    address = _address(url)
    return int(plugins.load("ledger", "postgres").look_at(address))


def _address(url: str) -> Callable[[], str]:
    """What tells the whole URL of a database, with its password."""
    check_url(url, "The setting ledger", POSTGRES)
    address = partial(resolved, url, is_quoted=True)
    if urlsplit(address()).scheme not in POSTGRES.schemes:
        raise InvalidSetting(
            f"The setting ledger is {url!r}, which names no PostgreSQL database.",
            fix=f"Correct it where it is kept; {POSTGRES.example}",
        )
    return address
