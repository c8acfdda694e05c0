"""What an erasure does with what steps printed: a log that names the person goes whole.

A log has no columns, and what stands in it about a person may stand on other lines than what names them.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterable, Sequence

from msgspec.structs import replace

from slipway.flows.erase_person import Target, has_letter, names, words_of
from slipway.flows.erase_results import runs_of
from slipway.ledger import entries
from slipway.ledger.step_output import gathered, output_folder
from slipway.ports.workspace import Workspace
from slipway.records.erasures import Place
from slipway.records.runs import Run, StepRun

__all__ = ["erase_logs"]


def erase_logs(
    workspace: Workspace, target: Target, tables: Sequence[str], *, dry_run: bool
) -> tuple[list[Place], list[str]]:
    """Erase the logs of steps that name the person, or count them; the step's record says no more that it printed.

    A log names the person where all values stand in it as words. Values without a letter, like the key 17, stand in
    many: they are looked for in runs that read one of the tables, and in runs inside of these.

    Args:
        workspace: The store.
        target: Whose rows.
        tables: The tables in which the person may be.
        dry_run: Whether to count only.

    Returns:
        Where they were, and what is not searched yet.
    """
    chosen = _runs(workspace, target, tables)
    with workspace.ledger.read() as tx:
        steps = [one for one in entries.every(tx, StepRun, project=workspace.project) if one.parent_id in chosen]
    words = words_of(target.columns)
    kept = {one.output.digest for one in steps if one.output is not None}
    there = {digest for digest in kept if workspace.blobs.has(digest)}
    hit = {digest for digest in there if names(workspace.blobs.get(digest), words)}
    loose = [one for one in steps if one.output is None and names(gathered(output_folder(workspace, one.id))[0], words)]
    left = [one for one in loose if chosen[one.parent_id].state != "running"]
    if not dry_run:
        for digest in hit:
            workspace.blobs.delete(digest)
        for one in left:
            shutil.rmtree(output_folder(workspace, one.id))
        # Also of an erasure that was killed before it came here.
        _say_no_more(workspace, [one.id for one in steps if one.output and one.output.digest not in there - hit])
    count = len(hit) + len(left)
    places = [Place(place="logs of steps", rows=count, files=count)] if count else []
    running = sorted({one.parent_id[:12] for one in loose} - {one.parent_id[:12] for one in left})
    told = f"What steps of the runs {', '.join(running)} print names the person: erase again when they have ended."
    return places, [told] if running else []


def _runs(workspace: Workspace, target: Target, tables: Sequence[str]) -> dict[str, Run]:
    """The runs in which the person may be, with those inside of them, by id."""
    with workspace.ledger.read() as tx:
        every = list(entries.every(tx, Run, project=workspace.project))
    if has_letter(target.columns):
        found = runs_of(workspace, target)
    else:
        read = tuple(f"table:{workspace.project}/{table}@" for table in tables)
        found = [run for run in every if any(node.startswith(read) for node in run.inputs)]
    chosen = {run.id: run for run in found}
    inside: dict[str, list[Run]] = {}
    for run in every:
        inside.setdefault(run.parent_id, []).append(run)
    waiting = list(chosen)
    while waiting:
        for run in inside.get(waiting.pop(), []):
            if run.id not in chosen:
                chosen[run.id] = run
                waiting.append(run.id)
    return chosen


def _say_no_more(workspace: Workspace, steps: Iterable[str]) -> None:
    for id in steps:
        with workspace.ledger.write() as tx:
            entries.put(tx, replace(entries.get(tx, StepRun, id), output=None))
