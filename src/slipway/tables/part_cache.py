"""Copies of parts on this machine, where an object store keeps them: what was erased elsewhere does not stay in one.

An erasure writes into its record which parts it removed. Before parts are read here, copies of all that was erased since
the last time are removed; whether something was is one look into the ledger.
"""

from __future__ import annotations

from pathlib import Path

from slipway.ids import new_id
from slipway.ledger import entries
from slipway.ports.ledger_store import WriteTransaction
from slipway.ports.workspace import Workspace
from slipway.records.erasures import Erasure
from slipway.tables.part_folders import PartFolder, folder_of, part_path, table_folder
from slipway.whole_files import write_whole

__all__ = ["forget_erased", "note_erased", "part_folder"]

_REF = ("", "store", "erased")
_SEEN_FILE = "erased.seen"
_seen: dict[Path, str] = {}


def part_folder(workspace: Workspace, table: str, *, project: str | None = None) -> PartFolder:
    """Where the parts of a table lie, for whoever reads them."""
    if workspace.open_parts is not None:
        forget_erased(workspace)
    return folder_of(workspace, table, project=project)


def note_erased(tx: WriteTransaction) -> None:
    """Say that an erasure's record names more parts than before, in the transaction that puts it."""
    tx.set_ref(*_REF, new_id(), expect=tx.ref(*_REF))


def forget_erased(workspace: Workspace, *, again: bool = False) -> int:
    """Remove this machine's copies of parts that were erased, in all projects of the store.

    Args:
        workspace: Whose store.
        again: Whether to look also where nothing was erased since the last time: a copy may have been on its way then.

    Returns:
        How many files were removed.
    """
    home = workspace.root / "tables"
    with workspace.ledger.read() as tx:
        state = tx.ref(*_REF) or ""
        is_seen = state in ("", _seen.get(home) or _read(home))
        if is_seen and not (again and state):
            _seen[home] = state
            return 0
        erasures = list(entries.every(tx, Erasure))
    removed = 0
    for erasure in erasures:
        for one in erasure.gone:
            table, _, digest = one.rpartition("/")
            path = part_path(table_folder(workspace, table, project=erasure.project), digest)
            removed += path.exists()
            path.unlink(missing_ok=True)
    if not is_seen:
        home.mkdir(parents=True, exist_ok=True)
        write_whole(home / _SEEN_FILE, state.encode())
    _seen[home] = state
    return removed


def _read(home: Path) -> str:
    try:
        return (home / _SEEN_FILE).read_text()
    except FileNotFoundError:
        return ""
