"""Where a store's ledger lies: in the store's folder, or in the PostgreSQL database that settings name.

The folder keeps the URL as settings write it, without any secret, so that whatever opens the store by its folder alone
(`slipway up --root`, pipelines and syncs that run detached) opens the same ledger.
"""

from functools import partial
from pathlib import Path
from urllib.parse import urlsplit

from slipway import plugins
from slipway.errors import InvalidSetting
from slipway.ports.ledger_store import LedgerStore
from slipway.serving.secret_urls import POSTGRES, check_url, resolved
from slipway.whole_files import write_whole

__all__ = ["is_store", "open_ledger"]

_DATABASE = "ledger.db"
_URL_FILE = "ledger.url"


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
            why="What is in the file would not be found any more; nothing moves it.",
            fix='Name another folder for this environment: store = "..."; or leave the setting ledger out.',
        )
    check_url(wanted, "The setting ledger", POSTGRES)
    address = partial(resolved, wanted, is_quoted=True)
    if urlsplit(address()).scheme not in POSTGRES.schemes:
        raise InvalidSetting(
            f"The setting ledger is {wanted!r}, which names no PostgreSQL database.",
            fix=f"Correct it where it is kept; {POSTGRES.example}",
        )
    store = plugins.load("ledger", "postgres")(address)
    if wanted != kept:
        root.mkdir(parents=True, exist_ok=True)
        write_whole(file, f"{wanted}\n".encode())
    return store
