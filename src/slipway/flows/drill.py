"""The drill of the way back: what a roll-back would serve is verified, started and asked, and on request really served.

Without `live` it happens beside the traffic, in a process of its own: no caller gets another answer by it.
"""

from __future__ import annotations

import time
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import msgspec
import polars as pl

from slipway.errors import BackendError, Conflict, Corrupt, NotFound, SlipwayError
from slipway.flows import rollouts
from slipway.flows.deploy import earlier, rollback
from slipway.flows.endpoints import folder_of, revision_of
from slipway.flows.logged_rows import layout_of
from slipway.flows.passing import passing
from slipway.ids import new_id
from slipway.ledger import entries, events
from slipway.models import bundle as bundles
from slipway.models import registry
from slipway.operations.endpoints import Drilled, Rollback, StartDrill
from slipway.ports.workspace import Workspace
from slipway.records.endpoints import Revision
from slipway.records.models import Bundle, ModelVersion
from slipway.records.rollouts import Drill
from slipway.serving.open_loop import one_after_another
from slipway.serving.swap import REVISION_FILE
from slipway.tables.log_reader import LogReader

__all__ = ["drill"]

_ASKED_ROWS = 200
_ANSWER_WITHIN_S = 30.0
_TOLERANCE = 1e-9
_LOGGED_WITHIN_S = 1.0
_encode = msgspec.json.Encoder().encode


def drill(workspace: Workspace, request: StartDrill) -> Drilled:
    """Prove that an endpoint's way back works, and time it.

    Returns:
        The record that is kept: "failed" where the earlier model does not start or answers otherwise than in training.

    Raises:
        NotFound: Nothing was deployed there, or no such revision.
        Conflict: There is nothing to go back to, the endpoint is stopped or scores a table, or the earlier bundle is gone;
            of a live drill also: a roll-out is under way, or its times would be simulated.
        GateRefused: Of a live drill: the way back, or forward again, would be refused.
    """
    present = revision_of(workspace, request.name)
    _check_runs(workspace, present)
    found = earlier(workspace, request.name, request.to)
    if request.live:
        _check_live(workspace, present, found)
    began = Drill(
        id=new_id(),
        project=workspace.project,
        name=request.name,
        created_at=workspace.clock.now(),
        parent_id=f"{workspace.project}/{request.name}",
        state="passed",
        actor=workspace.actor,
        present=present.number,
        back_to=found.number,
        live=request.live,
    )
    shown = _beside(workspace, began, found)
    if request.live and shown.state == "passed":
        shown = _really(workspace, shown, found, request.reason)
    with workspace.ledger.write() as tx:
        entries.put(tx, shown, expect=0)
        more = {"state": shown.state, "back_to": shown.back_to, "live": shown.live, "failures": shown.failures}
        about = f"revision:{present.id}"
        events.record(tx, workspace, "endpoints.drill", about, drill=shown.id, reason=request.reason, **more)
    return Drilled(drill=shown)


def _check_runs(workspace: Workspace, present: Revision) -> None:
    if present.batch is not None:
        raise Conflict(
            f"The endpoint {present.name!r} scores a table: it has no process whose way back could be drilled.",
            fix=f"See what going back would change: slipway rollback {present.name} --dry-run",
        )
    if workspace.launcher.status(folder_of(workspace, present.name)) is None:
        raise Conflict(
            f"The endpoint {present.name!r} is stopped: a drill proves the way back of one that answers.",
            fix=f"Start it: slipway deploy {present.served.model} --version {present.served.number} "
            f"--endpoint {present.name}",
        )


def _check_live(workspace: Workspace, present: Revision, found: Revision) -> None:
    if rollouts.under_way(workspace, present.name) is not None:
        raise Conflict(
            f"A roll-out is under way at {present.name!r}, and going back in earnest would end it.",
            fix=f"Leave --live out, or wait: slipway rollout status {present.name}",
        )
    if present.simulation:
        raise Conflict(
            f"The endpoint {present.name!r} answers as of simulated times, so its log times nothing.",
            fix="Leave --live out.",
        )
    for number in (found.number, present.number):  # who goes back must be able to come forward again
        rollback(workspace, Rollback(name=present.name, to=number, dry_run=True))


def _beside(workspace: Workspace, began: Drill, found: Revision) -> Drill:
    """The earlier version, verified and started in a process of its own, and asked what training had answered."""
    served = f"{found.served.model} {found.served.number}"
    try:
        version = registry.get(workspace, found.served.model, str(found.served.number))
        bundle = registry.bundle_of(workspace, version)
        verify_s = _verified(workspace, version, folder_of(workspace, found.name) / "bundles" / version.bundle)
        with passing(workspace, version, bundle) as endpoint:
            cases = _cases(bundle, endpoint.bundle)
            bodies = [_encode({"rows": [row]}) for row, _ in cases]
            answers = one_after_another(endpoint.url, endpoint.path, bodies, timeout_s=_ANSWER_WITHIN_S)
            scores = [_score(answer.body) if answer.is_good else None for answer in answers]
            ready_s = endpoint.ready_s
    except (NotFound, Corrupt) as problem:
        raise Conflict(
            f"The bundle of revision {found.number} of {found.name!r} ({served}) is gone: there is no way back to it.",
            why=str(problem),
            fix=f"Go further back with --to N, or release it again: slipway models show {found.served.model}",
        ) from problem
    except BackendError as problem:
        return msgspec.structs.replace(began, state="failed", sentence=f"{served} does not start. {problem}")
    scores += [None] * (len(cases) - len(scores))
    differing = sum(
        score is None or abs(score - expected) > _TOLERANCE * max(1.0, abs(expected))
        for score, (_, expected) in zip(scores, cases, strict=True)
    )
    told = f"{served}, which revision {found.number} serves, is whole and signed, and started in {ready_s:.1f} s"
    told += " after it had checked its own answers against training's"
    if cases:
        told += (
            f"; {len(cases) - differing:,} of {len(cases):,} rows of its sample were answered over HTTP as in training"
        )
    return msgspec.structs.replace(
        began,
        state="failed" if differing else "passed",
        verify_s=verify_s,
        load_s=ready_s,
        asked=len(cases),
        differing=differing,
        sentence=f"{told}.",
    )


def _verified(workspace: Workspace, version: ModelVersion, home: Path) -> float:
    """How long it takes to verify the bundle where a roll-back would find it; a damaged or absent one is fetched anew then."""
    began = time.monotonic()
    try:
        bundles.verify(home, expect=version.bundle, signer=workspace.signer)
    except (Corrupt, NotFound, FileNotFoundError) as problem:
        workspace.say(f"{problem} A roll-back would fetch it from the store.")
    return time.monotonic() - began


def _cases(bundle: Bundle, folder: Path) -> list[tuple[dict[str, Any], float]]:
    """Rows that can be asked as they are, with training's answers; none where features make the inputs of the request."""
    path = folder / bundles.SAMPLE
    if bundle.features is not None or not path.exists():
        return []
    names = [field.name for field in bundle.signature.inputs]
    known = bundles.decode_cases(path.read_bytes())
    plain = [(one.row, one.answer) for one in known if not one.column and one.answer is not None]
    return [(dict(zip(names, row, strict=True)), answer) for row, answer in plain[:_ASKED_ROWS]]


def _score(body: bytes) -> float:
    return float(msgspec.json.decode(body)["predictions"][0]["score"])


def _really(workspace: Workspace, shown: Drill, found: Revision, reason: str) -> Drill:
    """Go back and forward again under the traffic of the time; the log says who answered until when, and what failed."""
    name, why = shown.name, "drill" + (f": {reason}" if reason else "")
    began = datetime.now(UTC)
    numbers: list[int] = []
    published: list[datetime] = []
    for target in (found.number, shown.present):
        try:
            done = rollback(workspace, Rollback(name=name, to=target, reason=why)).revision
        except SlipwayError as problem:
            standing = revision_of(workspace, name)
            told = (
                f"Going to revision {target} failed. {problem} {standing.served.model} {standing.served.number} stands."
            )
            return msgspec.structs.replace(shown, state="failed", revisions=tuple(numbers), sentence=told)
        assert done is not None  # it was no dry run
        numbers.append(done.number)
        published.append(datetime.fromtimestamp((folder_of(workspace, name) / REVISION_FILE).stat().st_mtime, UTC))
    time.sleep(_LOGGED_WITHIN_S)
    reader = LogReader(folder_of(workspace, name) / "log")
    reader.refresh(layout_of(workspace, name))
    answered = reader.answered().filter(pl.col("answered_at") >= began)
    failures = int(reader.failures().filter(pl.col("answered_at") >= began)["rows"].sum())
    requests = answered.height + failures
    back_s = _last_of(answered, pl.col("revision") < numbers[0], published[0])
    forth_s = _last_of(answered, pl.col("revision") == numbers[0], published[1])
    told = f"{shown.sentence} It served as revision {numbers[0]}, and revision {numbers[1]} serves as before: "
    told += f"{failures:,} of {requests:,} rows that callers asked meanwhile failed."
    if not requests:
        told += " Without traffic that shows nothing of callers."
    return msgspec.structs.replace(
        shown,
        state="failed" if failures else "passed",
        revisions=tuple(numbers),
        back_s=back_s,
        forth_s=forth_s,
        requests=requests,
        failures=failures,
        sentence=told,
    )


def _last_of(answered: pl.DataFrame, whose: pl.Expr, published: datetime) -> float | None:
    """Seconds from publishing a revision to the last answer of the one before; None where that was not asked at all."""
    last = answered.filter(whose)["answered_at"].max()
    return max(0.0, (last - published).total_seconds()) if isinstance(last, datetime) else None
