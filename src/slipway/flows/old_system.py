"""An old system beside an endpoint: how often both agree."""

from __future__ import annotations

import math
from datetime import timedelta

from slipway.errors import InvalidInput
from slipway.flows.endpoints import folder_of, revision_of
from slipway.flows.tolerance import check_tolerance
from slipway.operations.old_systems import Agreement, Apart, GetAgreement
from slipway.ports.workspace import Workspace
from slipway.records.endpoints import Contract, OldSystemSpec
from slipway.records.predictions import PredictionRow, ShadowRow
from slipway.records.tolerances import within
from slipway.stats.evidence import log_e_share_above
from slipway.tables.log_rows import read_rows
from slipway.tables.prediction_log import PREDICTIONS, SHADOWS

__all__ = ["agreement", "check_fields"]

_ALPHA = 0.01
_SHARES = (0.5, 0.8, 0.9, 0.95, 0.98, 0.99, 0.995, 0.998, 0.999)


def check_fields(endpoint: str, spec: OldSystemSpec | None, contract: Contract) -> None:
    """Refuse an old system that is to be sent fields which no request of an endpoint has, or whose tolerance is none.

    Raises:
        InvalidInput: It is.
    """
    if spec is not None:
        check_tolerance(spec.tolerance)
    known = {one.name for one in contract.fields}
    missing = [] if spec is None else sorted(set(spec.fields.values()) - known)
    if missing:
        raise InvalidInput(
            f"The old system of {endpoint!r} is to be sent {missing[0]!r}, which no request has.",
            fix=f"Its fields are: {', '.join(sorted(known))}.",
        )


def agreement(workspace: Workspace, request: GetAgreement) -> Agreement:
    """How often an endpoint's answers and those of its old system agree, over the last days of the log.

    Raises:
        NotFound: Nothing was ever deployed there.
        InvalidInput: It declares no old system.
    """
    revision = revision_of(workspace, request.endpoint)
    spec = revision.old_system
    if spec is None:
        raise InvalidInput(
            f"{request.endpoint!r} is compared with no old system.",
            fix="Declare sw.Endpoint(..., old_system=sw.OldSystem(url=...)) and deploy.",
        )
    since = workspace.clock.now() - timedelta(days=request.days)
    since_us = int(since.timestamp() * 1e6)
    log = folder_of(workspace, request.endpoint) / "log"
    theirs = {
        row.prediction: row for row in read_rows(log, SHADOWS, ShadowRow, since=since)[0] if row.bundle == spec.mark
    }
    answered = read_rows(log, PREDICTIONS, PredictionRow, since=since)[0]
    both = [
        (row, found)
        for row in answered
        if row.at_us >= since_us and not row.fallback and (found := theirs.get(row.id)) is not None
    ]
    return _agreement(request, spec, both)


def _agreement(request: GetAgreement, spec: OldSystemSpec, both: list[tuple[PredictionRow, ShadowRow]]) -> Agreement:
    scored = [(row, found.score) for row, found in both if found.score is not None]
    distances = sorted(((abs(row.score - score), row.id, row.score, score) for row, score in scored), reverse=True)
    agreeing = sum(distance <= spec.tolerance for distance, *_ in distances)
    problems: dict[str, int] = {}
    for _, found in both:
        if found.score is None:
            problems[found.problem] = problems.get(found.problem, 0) + 1
    shown = 0.0
    for share in _SHARES:  # each holds only where all lower ones do, so that they need no shares of alpha
        if log_e_share_above(agreeing, len(scored), share=share) < math.log(1 / _ALPHA):
            break
        shown = share
    times = sorted(found.took_ns for _, found in both if found.score is not None)
    return Agreement(
        endpoint=request.endpoint,
        url=spec.url,
        tolerance=spec.tolerance,
        compared=len(both),
        agreeing=agreeing,
        scored=len(scored),
        shown=shown,
        problems=problems,
        took_ms=times[len(times) // 2] / 1e6 if times else None,
        greatest=tuple(
            Apart(prediction=id, ours=ours, theirs=score)
            for distance, id, ours, score in distances[: request.most]
            if distance > spec.tolerance
        ),
        sentence=_words(spec, len(both), len(scored), agreeing, shown, problems),
    )


def _words(
    spec: OldSystemSpec, compared: int, scored: int, agreeing: int, shown: float, problems: dict[str, int]
) -> str:
    if not compared:
        return "No row has been compared with the old system yet."
    said = f"Of {compared:,} rows the old system scored {scored:,}"
    if problems:
        said += f" ({', '.join(f'{rows:,} {problem}' for problem, rows in sorted(problems.items()))})"
    if not scored:
        return f"{said}."
    said += f"; {agreeing:,} agree {within(spec.tolerance)} ({agreeing / scored:.2%})"
    return f"{said}, shown to be more than {shown:.1%}." if shown else f"{said}; how often in general is not shown yet."
