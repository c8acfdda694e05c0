"""What holds a model's versions: why one may not be deleted, in words."""

from __future__ import annotations

from collections.abc import Sequence

from slipway.errors import InvalidInput
from slipway.ledger import entries
from slipway.ledger.naming import naming
from slipway.models import numbered
from slipway.ports.ledger_store import ReadTransaction
from slipway.ports.workspace import Workspace
from slipway.records.endpoints import Revision
from slipway.records.gates import Approval, Verdict
from slipway.records.models import ModelVersion
from slipway.records.record import Entry
from slipway.records.rollouts import Rollout
from slipway.records.tables import TableVersion

__all__ = ["HISTORY", "holder", "holders", "refuse_held"]

HISTORY = frozenset(
    {
        "action",
        "ci_run",
        "comment",
        "document_answer",
        "erasure",
        "experiment",
        "firing",
        "handover",
        "logged_model",
        "migration",
        "migration_comparison",
        "notice",
        "project",
        "purge",
        "registered_model",
        "reproduction",
        "retraining",
        "run",
        "run-artifact",
        "run-writer",
        "schedule",
        "step",
        "sync",
        "table_refusal",
    }
)
"""Kinds of records that hold nothing: they tell what was done, and stay true of what is gone; or they are its siblings."""


def refuse_held(tx: ReadTransaction, workspace: Workspace, versions: Sequence[ModelVersion]) -> None:
    """Refuse to delete versions with a signed bundle one of which serves, served, was let through or has an alias.

    Raises:
        InvalidInput: One is held; the sentence names by what.
    """
    held = holders(tx, workspace, [version for version in versions if version.bundle])
    for version in versions:
        if version.id in held:
            raise InvalidInput(
                f"Version {version.number} of {version.name!r} cannot be deleted: {held[version.id]}.",
                why="It carries a signed bundle: what serves or served, and why it was let through, is told by it.",
                fix="Leave it. What nothing holds can be deleted, an alias or stage can be moved.",
            )


def holders(tx: ReadTransaction, workspace: Workspace, versions: Sequence[ModelVersion]) -> dict[str, str]:
    """What holds versions, in words by their ids; those that nothing holds are left out."""
    found: dict[str, str] = {}
    wanted: dict[bytes, list[str]] = {}
    for version in versions:
        if not version.state:
            for alias, number in numbered.aliases_in(tx, workspace, version.name).items():
                if number == version.number:
                    found[version.id] = f"the alias {alias} points at it"
            if version.stage not in ("None", "Archived"):
                found.setdefault(version.id, f"it is in the stage {version.stage}")
        for text in filter(None, (version.id.removeprefix("m-"), version.bundle)):
            wanted.setdefault(text.encode(), []).append(version.id)
    if len(found) == len({version.id for version in versions}):
        return found
    for entry, words in naming(tx, workspace.project, wanted.keys(), apart=HISTORY | {entries.kind_of(ModelVersion)}):
        if said := holder(entry):
            for word in words:
                for id in wanted[word]:
                    found.setdefault(id, f"{said} names it")
    return found


def holder(entry: Entry) -> str:
    """What an entry is called that holds what it names, "" for one that holds nothing."""
    match entry.kind:
        case "model":
            version = entries.decoded(entry, ModelVersion)
            return f"version {version.number} of {version.name!r}{_in_trash(version.state)}"
        case "revision":
            revision = entries.decoded(entry, Revision)
            return f"revision {revision.number} of the endpoint {revision.name!r}"
        case "rollout":
            return f"a roll-out of the endpoint {entries.decoded(entry, Rollout).name!r}"
        case "verdict":
            verdict = entries.decoded(entry, Verdict)
            return f"the verdict that let it into {verdict.environment}" if verdict.passed else ""
        case "approval":
            return f"an approval by {entries.decoded(entry, Approval).actor}"
        case "table":
            table = entries.decoded(entry, TableVersion)
            return f"version {table.number} of the table {table.name!r}" if table.cleaned_at is None else ""
    return f"the {entry.kind.replace('_', ' ')} {entry.name or entry.id}"


def _in_trash(state: str) -> str:
    return " (in the trash)" if state else ""
