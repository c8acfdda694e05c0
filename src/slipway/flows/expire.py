"""What the section `[retention]` lets go: old runs into the trash, folders of ended tasks, bytes that nothing names."""

from __future__ import annotations

import os
import shutil
import time
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import msgspec

from slipway.flows.purge import foretell, sweep
from slipway.flows.purge_plan import Plan, plan_ended
from slipway.ledger import entries, events
from slipway.ledger.limits import kept_limits
from slipway.operations.declare import check_allowed
from slipway.operations.trash import Expire, Expired, SweepBlobs
from slipway.ports.runner import TASK_FILE
from slipway.ports.workspace import Workspace
from slipway.records.limits import Retention
from slipway.records.runs import Run

__all__ = ["expire"]

_AT_ONCE = 100
_A_DAY_S = 86_400.0


class _Task(msgspec.Struct):
    project: str = ""


_REASON = "[retention] runs"


def expire(workspace: Workspace, request: Expire) -> Expired:
    """Let go what `[retention]` says; it may be killed and asked for again.

    Raises:
        Denied: Whoever asks may not purge.
        Corrupt: A list of files is damaged: no bytes are removed then.
    """
    check_allowed(workspace, "trash.expire", "trash.purge")
    with workspace.ledger.read() as tx:
        kept = kept_limits(tx, workspace)
    rule = kept.retention if kept else Retention()
    done = Expired(rule=rule, dry_run=request.dry_run)
    if rule.runs:
        plan = plan_ended(workspace, workspace.clock.now() - timedelta(days=rule.runs))
        size = foretell(workspace, plan).bytes if request.dry_run else 0
        done = msgspec.structs.replace(done, runs=plan.words, kept=tuple(plan.kept), runs_bytes=size)
        if not request.dry_run:
            _put_away(workspace, plan)
    if rule.tasks:
        tasks = [(path, _size(path)) for path in _ended_tasks(workspace, rule.tasks)]
        for path, _ in () if request.dry_run else tasks:
            shutil.rmtree(path, ignore_errors=True)
        gone = [size for path, size in tasks if request.dry_run or not path.exists()]  # what stays is tried again
        done = msgspec.structs.replace(done, tasks=len(gone), tasks_bytes=sum(gone))
    if rule.unnamed:
        swept = sweep(workspace, SweepBlobs(grace_days=float(rule.unnamed), dry_run=request.dry_run))
        done = msgspec.structs.replace(done, unnamed=swept.blobs, unnamed_bytes=swept.bytes + swept.left_bytes)
    if not request.dry_run:
        with workspace.ledger.write() as tx:
            told = {"runs": len(done.runs), "tasks": done.tasks, "bytes": done.tasks_bytes}
            events.record(tx, workspace, "trash.expire", f"project:{workspace.project}", **told)
    return done


def _put_away(workspace: Workspace, plan: Plan) -> None:
    ids = list(plan.runs)
    for begin in range(0, len(ids), _AT_ONCE):
        with workspace.ledger.write() as tx:
            now = workspace.clock.now()
            for id in ids[begin : begin + _AT_ONCE]:
                run = entries.get(tx, Run, id)
                if run.deleted_at is None and run.state != "running":
                    entries.put(tx, msgspec.structs.replace(run, deleted_at=now))
                    events.record(tx, workspace, "runs.delete", f"run:{id}", name=run.name, reason=_REASON)


def _ended_tasks(workspace: Workspace, days: int) -> Iterator[Path]:
    """Folders of this project's tasks in which nobody has written for so long, and whose process has ended."""
    before = time.time() - days * _A_DAY_S
    for folder in sorted((workspace.root.resolve() / "tasks").glob("*/")):
        if _project_of(folder) != workspace.project:
            continue
        written = max((path.stat().st_mtime for path in (folder, *folder.rglob("*")) if path.exists()), default=before)
        if written < before and workspace.runner.state(folder) != "running":
            yield folder


def _project_of(folder: Path) -> str:
    """Whose task it is, "" where nobody can tell."""
    try:
        return msgspec.json.decode((folder / TASK_FILE).read_bytes(), type=_Task).project
    except (OSError, msgspec.MsgspecError):
        return ""


def _size(folder: Path) -> int:
    return sum(
        os.stat(os.path.join(where, name), follow_symlinks=False).st_size
        for where, _, names in os.walk(folder)
        for name in names
    )
