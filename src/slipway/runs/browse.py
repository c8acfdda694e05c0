"""The bodies of the operations on runs."""

from slipway.errors import InvalidInput, NotFound, near
from slipway.ledger import entries, locks, origins
from slipway.ledger import search as ledger_search
from slipway.ledger.attest import read_back
from slipway.ledger.retention import goes_at, keep_days
from slipway.ledger.run_tags import RERUNS, SEARCH
from slipway.operations.runs import (
    ArtifactContent,
    Curve,
    Curves,
    GetArtifact,
    GetCurves,
    GetRun,
    RunDetail,
    RunDiff,
    RunRow,
    Runs,
)
from slipway.ports.ledger_store import ReadTransaction
from slipway.ports.workspace import Workspace
from slipway.records.record import Entry
from slipway.records.reproductions import Reproduction
from slipway.records.runs import Artifact, Bucket, Run
from slipway.records.search import And, Compare, Condition, Field, IsNull, Not, Search
from slipway.runs import search
from slipway.tables.personal import sees_all, veil

__all__ = ["artifact_named", "get_artifact", "get_curves", "get_diff", "get_run", "own_run", "place_of", "search_runs"]

_HELD_BYTES = 8_000_000
_MOST_CURVES, _MOST_BUCKETS = 1000, 10_000
_FARTHEST_STEP = 2**63
_LOOKED_AT = 2000
_MOST_INSIDE = 1000


def search_runs(workspace: Workspace, request: Search) -> Runs:
    """A page of runs, each with the latest point of its overall metrics.

    Raises:
        InvalidInput: The search cannot be read, or the limit is not between 1 and 1,000.
    """
    with workspace.ledger.read() as tx:
        found = ledger_search.asked(tx, Run, workspace, request)
        points = tx.latest_points([run.id for run in found.records])
        inside = {run.id: _inside(tx, run) for run in found.records}
    rows = [
        RunRow(
            run=run,
            metrics={point.key: point.value for point in points[run.id] if _is_overall(point.key)},
            trials=inside[run.id][0],
            inside=inside[run.id][1],
        )
        for run in found.records
    ]
    return Runs(runs=tuple(rows), token=found.next_token)


def _inside(tx: ReadTransaction, run: Run) -> tuple[int, int]:
    """How many trials are inside of a run, and how many other runs."""
    every = _children(tx, run.project, run.id)
    if SEARCH in run.tags or not every:
        return len(every), 0
    searches = _children(tx, run.project, run.id, Not(IsNull(Field("tag", SEARCH))))
    trials = sum(len(_children(tx, run.project, search.id)) for search in searches)
    return min(trials, _MOST_INSIDE), len(every) - len(searches)


def _children(tx: ReadTransaction, project: str, id: str, *among: Condition) -> tuple[Entry, ...]:
    where = And((Compare(Field("attribute", "parent"), "=", id), IsNull(Field("attribute", "deleted")), *among))
    return tuple(tx.search(entries.kind_of(Run), project=project, where=where, limit=_MOST_INSIDE).entries)


def _is_overall(key: str) -> bool:
    return "[" not in key and not key.startswith("system/")


def get_run(workspace: Workspace, request: GetRun) -> RunDetail:
    """One run of the project with its steps in order and the latest point of every metric.

    Raises:
        NotFound: There is none with this id, or several begin so.
    """
    run = own_run(workspace, request.id)
    with workspace.ledger.read() as tx:
        points = tx.latest_points([run.id])[run.id]
        goes = goes_at(run.deleted_at, keep_days(tx, workspace)) if run.deleted_at else None
        links = tx.links(f"run:{run.id}", towards=False)
        repetitions = [
            entries.get(tx, Reproduction, link.target.partition(":")[2])
            for link in links
            if link.role in ("reproduced", "repeated") and tx.get(entries.kind_of(Reproduction), link.target[13:])
        ]
    try:
        lock = locks.lock_of(workspace.blobs, run.environment)
    except NotFound:  # its bytes went with a purge
        lock = None
    with workspace.ledger.read() as tx:
        made_up = origins.simulated(tx, run.inputs)
    told = sorted((read_back(one, workspace.signer) for one in repetitions), key=lambda one: -one.number)
    return RunDetail(
        run=run,
        steps=tuple(search.steps(workspace, run.id)),
        metrics=tuple(points),
        goes_at=goes,
        lock=lock,
        started_from=run.tags.get(RERUNS, ""),
        reruns=tuple(sorted((link.target[4:] for link in links if link.role == "rerun"), reverse=True)),
        reproductions=tuple(one for one in told if one.parent_id == run.id),
        repeats=next((one for one in told if one.run_id == run.id), None),
        simulated=made_up,
    )


def place_of(key: str) -> tuple[bool, bool, str]:
    """Where a metric stands among others: those of whole runs first, then slices, then the machine's."""
    return key.startswith("system/"), "[" in key, key


def get_curves(workspace: Workspace, request: GetCurves) -> Curves:
    """Metrics of a run as curves, in the order of `place_of`.

    Raises:
        NotFound: There is no such run.
        InvalidInput: Limit, buckets or steps are out of range.
    """
    _check_steps(request)
    for name, value, most in (("limit", request.limit, _MOST_CURVES), ("buckets", request.buckets, _MOST_BUCKETS)):
        if not 1 <= value <= most:
            raise InvalidInput(f"{name} is {value}.", fix=f"Give 1 to {most:,}.", field=name)
    run = own_run(workspace, request.id)
    found: list[Curve] = []
    with workspace.ledger.read() as tx:
        if request.key:
            keys = [request.key]
        else:
            known = (point.key for point in tx.latest_points([run.id])[run.id])
            keys = sorted(
                (key for key in known if not request.after or place_of(key) > place_of(request.after)), key=place_of
            )
        for looked, key in enumerate(keys):
            if looked == _LOOKED_AT:
                return Curves(curves=tuple(found[: request.limit]), next=keys[looked - 1])
            buckets = tx.sampled(run.id, key, buckets=request.buckets, since=request.since, until=request.until)
            if request.key or _is_curve(buckets):
                found.append(Curve(key=key, buckets=tuple(buckets)))
            if len(found) > request.limit:
                break
    shown = tuple(found[: request.limit])
    return Curves(curves=shown, next=shown[-1].key if len(found) > len(shown) else "")


def _check_steps(request: GetCurves) -> None:
    for name, step in (("since", request.since), ("until", request.until)):
        if step is not None and not -_FARTHEST_STEP <= step < _FARTHEST_STEP:
            raise InvalidInput(f"The step {step} is none.", fix="Steps have 64 bits.", field=name)
    if request.since is not None and request.until is not None and request.since > request.until:
        raise InvalidInput(
            f"From step {request.since:,} to step {request.until:,} there is nothing.",
            fix="Give the lower one first.",
            field="until",
        )


def _is_curve(buckets: list[Bucket]) -> bool:
    if not buckets:
        return False
    first, last = buckets[0].first, buckets[-1].last
    return (first.step, first.at_us) != (last.step, last.at_us)


def get_artifact(workspace: Workspace, request: GetArtifact) -> ArtifactContent:
    """One artifact, with its bytes where they are not too many, as the workspace's actor may see them.

    Raises:
        NotFound: There is no such run or artifact.
        Corrupt: The stored bytes are damaged.
    """
    found = artifact_named(own_run(workspace, request.id), request.name)
    if found.size_bytes > _HELD_BYTES:
        return ArtifactContent(artifact=found, data=b"", is_whole=False)
    data = workspace.blobs.get(found.digest)
    known = None if sees_all(workspace) else veil().over(workspace)
    if known is None:
        return ArtifactContent(artifact=found, data=data, is_whole=True)
    shown, is_shown = known.file(found.name, data)
    withheld = "" if is_shown else "It is not shown: it holds values of personal columns, or cannot be looked into."
    if is_shown and shown != data:
        withheld = "Values of personal columns are hidden in it."
    return ArtifactContent(artifact=found, data=shown, is_whole=is_shown, withheld=withheld)


def artifact_named(run: Run, name: str) -> Artifact:
    """The artifact of a run that is called so.

    Raises:
        NotFound: There is none.
    """
    for artifact in run.artifacts:
        if artifact.name == name:
            return artifact
    known = [artifact.name for artifact in run.artifacts]
    raise NotFound(f"The run {run.id} has no artifact {name[:200]!r}.", fix=near(name, known, what="artifacts"))


def get_diff(workspace: Workspace, request: GetRun) -> RunDiff:
    """What differed from the commit of a run.

    Raises:
        NotFound: There is no such run.
        Corrupt: The stored bytes are damaged.
    """
    code = own_run(workspace, request.id).code
    text = workspace.blobs.get(code.diff).decode("utf-8", "replace") if code.diff else ""
    return RunDiff(commit=code.commit, text=text)


def own_run(workspace: Workspace, id: str) -> Run:
    """A run of the workspace's own project, by its id or the beginning of it.

    Raises:
        NotFound: There is none, or several begin so.
    """
    run = search.get_run(workspace, id)
    if run.project != workspace.project:
        raise NotFound(f"There is no run {id!r} in {workspace.project!r}.", fix="See `slipway runs list`.")
    return run
