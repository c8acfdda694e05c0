"""The same requests to an endpoint here and to the old system that it replaces: answers and times beside each other."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path
from typing import Any, NamedTuple

import msgspec

from slipway.errors import Conflict, InvalidInput, SlipwayError, Unavailable
from slipway.flows.ask_endpoint import sent
from slipway.flows.endpoints import folder_of, revision_of
from slipway.flows.import_model import read_rows
from slipway.flows.journey_evidence import known_of
from slipway.flows.migrate import kept_plan, old_model
from slipway.flows.old_system import check_fields
from slipway.hashing import digest
from slipway.ids import new_id
from slipway.ledger import entries, events
from slipway.models.frames import plain_rows
from slipway.operations.asking import AskEndpoint
from slipway.operations.declare import check_allowed
from slipway.ports.workspace import Workspace
from slipway.records.endpoints import OldSystemSpec
from slipway.records.migrations import Comparison, Mismatch
from slipway.serving.old_system import OldCaller

__all__ = ["compare", "read_requests"]

_TOGETHER = 64
_GIVEN_UP = 20
_LISTED = 20


class _Pair(NamedTuple):
    row: int
    ours: float | None
    theirs: float | None
    problem: str
    ours_ns: int
    theirs_ns: int


def read_requests(path: Path) -> list[dict[str, Any]]:
    """Requests, a row each: CSV, Parquet, or JSON lines as a log keeps them.

    Raises:
        NotFound: There is no such file.
        InvalidInput: It cannot be read.
    """
    if path.suffix not in (".jsonl", ".ndjson"):
        frame = read_rows(path)
        names = [str(name) for name in frame.columns]
        return [dict(zip(names, row, strict=True)) for row in plain_rows(frame, names)]
    try:
        return [
            msgspec.json.decode(line, type=dict[str, Any]) for line in path.read_bytes().splitlines() if line.strip()
        ]
    except (OSError, msgspec.DecodeError, RecursionError) as problem:
        raise InvalidInput(f"{path} cannot be read as JSON lines: {problem}.", fix="One object a line.") from problem


def compare(
    workspace: Workspace,
    name: str,
    requests: Sequence[dict[str, Any]],
    spec: OldSystemSpec | None = None,
    *,
    token: str = "",
) -> Comparison:
    """Send requests to both, one row each, and keep what came of it as evidence of the migration.

    The endpoint here is asked as any caller asks it. Whatever the old system does costs a row its comparison and nothing
    else: its time-out, its refusals and answers without a score are counted. After twenty rows in a row that it
    did not answer it is asked no more.

    Args:
        workspace: Of the project.
        name: The model in the plan.
        requests: Values by the names of the endpoint's fields; others are left out.
        spec: Where and how the old system is asked; None for what the endpoint declares.
        token: Who asks the endpoint, where it answers to known callers.

    Raises:
        NotFound: No plan, no such model, or nothing was ever deployed.
        InvalidInput: No requests, one lacks a field, nothing says where the old system is, or its tolerance is none.
        Unavailable: The endpoint here does not run.
    """
    check_allowed(workspace, "migrations.compare", "migrations.write")
    old = old_model(kept_plan(workspace), name)
    endpoint = known_of(workspace, old.model).endpoint
    revision = revision_of(workspace, endpoint)
    spec = spec or revision.old_system
    if spec is None:
        raise InvalidInput(
            f"Nothing says where the old system of {old.name!r} answers.",
            fix="Give --url, or declare sw.Endpoint(..., old_system=sw.OldSystem(url=...)).",
        )
    if revision.batch is not None:
        raise Conflict(f"The batch endpoint {endpoint!r} answers no requests.", fix="Compare its scores as a table.")
    check_fields(endpoint, spec, revision.contract)
    rows = _fitting(requests, [field.name for field in revision.contract.fields])
    status = workspace.launcher.status(folder_of(workspace, endpoint))
    if status is None or not status.url:
        raise Unavailable(f"The endpoint {endpoint!r} does not run.", fix=f"Start it: slipway deploy {old.model}")
    with closing(OldCaller()) as caller:
        pairs, stopped = _asked(caller, spec, endpoint, status.url, rows, token)
    found = _counted(pairs, spec.tolerance)
    comparison = Comparison(
        id=new_id(), project=workspace.project, name=old.name, created_at=workspace.clock.now(), endpoint=endpoint,
        version=revision.served.number, bundle=revision.served.bundle, url=spec.url, protocol=spec.protocol,
        requests=digest(msgspec.json.encode(rows)), tolerance=spec.tolerance, actor=workspace.actor, stopped=stopped,
        **found,
    )  # fmt: skip
    with workspace.ledger.write() as tx:
        entries.put(tx, comparison, expect=0)
        events.record(
            tx, workspace, "migrations.compare", f"migration_comparison:{comparison.id}", model=old.name,
            scored=comparison.scored, agreeing=comparison.agreeing,
        )  # fmt: skip
    return comparison


def _fitting(requests: Sequence[dict[str, Any]], fields: list[str]) -> list[dict[str, Any]]:
    if not requests:
        raise InvalidInput("There are no requests.", fix="Give rows that the old system was asked with.")
    for row, one in enumerate(requests, 1):
        missing = [field for field in fields if field not in one]
        if missing:
            raise InvalidInput(
                f"Request {row} lacks {missing[0]!r}, which the endpoint takes.",
                fix=f"Its fields are: {', '.join(fields)}.",
                field="requests",
            )
    return [{field: one[field] for field in fields} for one in requests]


def _asked(
    caller: OldCaller, spec: OldSystemSpec, endpoint: str, url: str, rows: list[dict[str, Any]], token: str
) -> tuple[list[_Pair], str]:
    names = spec.fields or {name: name for name in rows[0]}

    def ask(row: int, one: dict[str, Any]) -> _Pair:
        begun = time.perf_counter_ns()
        ours = _ours(url, AskEndpoint(name=endpoint, row=one, token=token))
        ours_ns = time.perf_counter_ns() - begun
        said = caller.ask(spec, [{theirs: one[name] for theirs, name in names.items()}])
        problem = said.problem or ("" if said.scores[0] is not None else "unreadable")
        return _Pair(row, ours, said.scores[0], problem, ours_ns, said.took_ns)

    pairs: list[_Pair] = []
    with ThreadPoolExecutor(spec.at_once, thread_name_prefix="migrate") as pool:
        for start in range(0, len(rows), _TOGETHER):
            some = rows[start : start + _TOGETHER]
            pairs += pool.map(ask, range(start + 1, start + 1 + len(some)), some)
            last = pairs[-_GIVEN_UP:]
            if len(pairs) < len(rows) and len(last) == _GIVEN_UP and all(one.problem for one in last):
                return (
                    pairs,
                    f"After {len(pairs):,} of {len(rows):,} rows it was asked no more: it answered none of the last {_GIVEN_UP}.",
                )
    return pairs, ""


def _ours(url: str, request: AskEndpoint) -> float | None:
    try:
        code, answer = sent(url, request)
        said = msgspec.json.decode(answer) if code == 200 else None
        return float(said["predictions"][0]["score"]) if said is not None else None
    except (SlipwayError, msgspec.DecodeError, LookupError, TypeError):  # counted as a row that it did not answer
        return None


def _counted(pairs: list[_Pair], tolerance: float) -> dict[str, Any]:
    both = [
        Mismatch(row=one.row, ours=one.ours, theirs=one.theirs)
        for one in pairs
        if one.ours is not None and one.theirs is not None
    ]
    apart = sorted(
        (one for one in both if abs(one.ours - one.theirs) > tolerance), key=lambda one: -abs(one.ours - one.theirs)
    )
    return {
        "rows": len(pairs),
        "scored": len(both),
        "agreeing": len(both) - len(apart),
        "ours_failed": sum(one.ours is None for one in pairs),
        "problems": dict(Counter(one.problem for one in pairs if one.problem)),
        "ours_ms": _times([one.ours_ns for one in pairs if one.ours is not None]),
        "theirs_ms": _times([one.theirs_ns for one in pairs if one.theirs is not None]),
        "mismatches": tuple(apart[:_LISTED]),
    }


def _times(taken: list[int]) -> tuple[float, float] | None:
    """Median and 95th percentile, milliseconds."""
    found = sorted(taken)
    return (found[len(found) // 2] / 1e6, found[int(len(found) * 0.95)] / 1e6) if found else None
