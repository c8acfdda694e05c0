"""What an erasure does with runs besides their results: files not in the ledger yet, differences of code, files beside it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from contextlib import suppress

from msgspec.structs import replace

from slipway.errors import Corrupt, NotFound
from slipway.flows.erase_person import Target, has_letter, names, words_of
from slipway.ledger import entries
from slipway.ledger.naming import snapshots_named
from slipway.ledger.run_file import RunFile
from slipway.ledger.run_moving import files_of
from slipway.pipelines.snapshot import contents_of
from slipway.ports.workspace import Workspace
from slipway.records.erasures import Place
from slipway.records.runs import Run, RunWriter, StepRun
from slipway.runs.recovery import take_in
from slipway.tables.erasing import rows_of

__all__ = ["erase_beside", "erase_diffs", "take_in_runs"]


def take_in_runs(workspace: Workspace) -> list[str]:
    """Bring to the ledger what runs left in their files, so that it is searched; says what waits all the same."""
    take_in(workspace)
    waiting: list[str] = []
    with workspace.ledger.read() as tx:
        for path in RunFile.all_in(files_of(workspace)):
            found = tx.get(entries.kind_of(RunWriter), path.stem)
            done = 0 if found is None else entries.decoded(found, RunWriter).offset
            if path.stat().st_size > done:
                waiting.append(path.name.split(".")[0][:12])
    if not waiting:
        return []
    runs = ", ".join(dict.fromkeys(waiting))
    return [f"What the runs {runs} have logged in this very moment is not searched: erase again when they have ended."]


def erase_diffs(
    workspace: Workspace, target: Target, runs: Iterable[Run], *, dry_run: bool
) -> tuple[list[Place], list[str]]:
    """Erase the differences of code from its commit, as runs keep them, that name the person, or count them.

    A patch has no columns: it names the person where all values stand in it as words. One that does is removed whole,
    and the run says no more what its code differed in. Values without a letter, like the key 17, stand in any patch.

    Returns:
        Where they were, and what was not looked into.
    """
    saying = [run for run in runs if run.code.diff]
    kept = {run.code.diff for run in saying if workspace.blobs.has(run.code.diff)}
    words = words_of(target.columns)
    if kept and not has_letter(target.columns):
        told = f"{len(kept):,} kept differences of code from its commit: a value without letters cannot be told from others"
        return [], [f"{told}, so they were not looked into."]
    hit = [digest for digest in sorted(kept) if names(workspace.blobs.get(digest), words)]
    if not dry_run:
        for digest in hit:
            workspace.blobs.delete(digest)
        _say_no_more(workspace, [run.id for run in saying if run.code.diff not in kept - {*hit}])
    return [Place(place="kept differences of code", rows=len(hit), files=len(hit))] if hit else [], []


def erase_beside(workspace: Workspace, target: Target, *, dry_run: bool) -> tuple[list[Place], list[str]]:
    """Erase the kept files beside the code that hold the person, or count them.

    A file that does is removed whole: who runs again what read it is told so. Of Parquet the rows are looked at; any other
    text names the person where all values stand in it as words.

    Returns:
        Where they were, and what was not looked into.
    """
    hit: dict[str, int] = {}
    closed = 0
    for digest in sorted(_beside(workspace)):
        if not workspace.blobs.has(digest):
            continue
        rows = _rows_in(workspace.blobs.get(digest), target.columns)
        closed += rows is None
        if rows:
            hit[digest] = rows
    if not dry_run:
        for digest in hit:
            workspace.blobs.delete(digest)
    places = [Place(place="files beside the code", rows=sum(hit.values()), files=len(hit))] if hit else []
    told = f"{closed:,} kept files beside the code are no text, or the value has no letters: not looked into."
    return places, [told] if closed else []


def _beside(workspace: Workspace) -> set[str]:
    """The digests of all files beside the code that runs, and the project's snapshots, keep."""
    with workspace.ledger.read() as tx:
        reads = [one for run in entries.every(tx, Run, project=workspace.project) for one in run.hidden]
        reads += [one for step in entries.every(tx, StepRun, project=workspace.project) for one in step.hidden]
        snapshots = snapshots_named(tx, workspace.project)
    found = {one.content for one in reads if one.kept}
    for digest in snapshots:
        with suppress(NotFound, Corrupt):  # gone or no snapshot: it keeps no file
            found |= set(contents_of(workspace, digest).files.values())
    return found


def _rows_in(data: bytes, columns: Mapping[str, str]) -> int | None:
    """How many rows of a file are the person's, 1 for a text that names them; None where that cannot be told."""
    if data[:4] == b"PAR1":
        return rows_of(data, columns)
    try:
        data.decode("utf-8")
    except UnicodeDecodeError:
        return None
    return int(names(data, words_of(columns))) if has_letter(columns) else None


def _say_no_more(workspace: Workspace, runs: Iterable[str]) -> None:
    """Runs whose patch is gone, also by an erasure that was killed before it came here, do not name it any more."""
    for id in runs:
        with workspace.ledger.write() as tx:
            run = entries.as_stored(tx, Run, id)
            entries.put(tx, replace(run, code=replace(run.code, diff="", diff_bytes=0)))
