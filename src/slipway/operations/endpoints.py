"""Endpoints: what serves, since when, let through by which verdict, and how it is doing."""

from datetime import datetime

from msgspec import Struct

from slipway.operations.declare import Empty, Operation
from slipway.records.consistency import ConsistencyReport
from slipway.records.endpoints import EndpointStatus, Revision
from slipway.records.feeds import FeedCounts
from slipway.records.gates import GateSpec, Verdict
from slipway.records.monitors import Finding, Incident
from slipway.records.rollouts import Drill, RevisionChange
from slipway.records.scorings import Scoring

__all__ = [
    "AskCallers",
    "CallerRow",
    "Callers",
    "Check",
    "Consistency",
    "Deploy",
    "Deployed",
    "Drilled",
    "EndpointDetail",
    "EndpointRow",
    "Endpoints",
    "GetEndpoint",
    "Reports",
    "Rollback",
    "StartDrill",
    "Stop",
    "Stopped",
    "Watch",
    "Watched",
    "operations",
]


class EndpointRow(Struct, frozen=True, kw_only=True):
    """An endpoint's newest revision beside what its process says of itself.

    A batch endpoint has no process: `scoring` is its newest one, and `next_at` when its clocks begin another.
    """

    revision: Revision
    status: EndpointStatus | None
    scoring: Scoring | None = None
    next_at: datetime | None = None


class Endpoints(Struct, frozen=True, kw_only=True):
    """All endpoints by name."""

    endpoints: tuple[EndpointRow, ...]


class GetEndpoint(Struct, frozen=True, kw_only=True):
    """Which endpoint."""

    name: str


class EndpointDetail(Struct, frozen=True, kw_only=True):
    """Revisions (newest first), process, verdict of the newest, findings and incidents (newest first), and its feeds.

    Feeds are what the process that runs, or ran last, found when it looked features up; `consistency` is the newest
    report on the features that it served. `scorings` are those of a batch endpoint, newest first, and `next_at` is when its
    clocks begin another. `drills` are the proofs that its way back works, newest first.
    `simulated` are the simulated tables that what serves learned from.
    """

    revisions: tuple[Revision, ...]
    status: EndpointStatus | None
    verdict: Verdict | None
    findings: tuple[Finding, ...]
    incidents: tuple[Incident, ...]
    consistency: ConsistencyReport | None = None
    feeds: tuple[FeedCounts, ...] = ()
    scorings: tuple[Scoring, ...] = ()
    next_at: datetime | None = None
    drills: tuple[Drill, ...] = ()
    simulated: tuple[str, ...] = ()


class AskCallers(Struct, frozen=True, kw_only=True):
    """Who calls which endpoint."""

    name: str


class CallerRow(Struct, frozen=True, kw_only=True):
    """Somebody who may ask an endpoint or send to it, or did.

    Args:
        name: Theirs, as their token says.
        is_service: Whether it is a program.
        owners: Who answers for it: who made the tokens of a program that are good, or the person.
        may: Whether a token of theirs is good here now.
        predict: When they asked for predictions last (business time, to the minute), None for never.
        push: When they sent labels or events last.
        limited: When one of their requests was beyond the limit of a caller last.
    """

    name: str
    is_service: bool
    owners: tuple[str, ...]
    may: bool
    predict: datetime | None = None
    push: datetime | None = None
    limited: datetime | None = None


class Callers(Struct, frozen=True, kw_only=True):
    """Everybody who may call an endpoint or did, those seen last first. () where its store knows nobody."""

    callers: tuple[CallerRow, ...]


class Deploy(Struct, frozen=True, kw_only=True):
    """Deploy a model version to an endpoint.

    Args:
        model: The model's name.
        version: A number, an alias, or "latest".
        endpoint: The endpoint's name, "" for the model's own name.
        dry_run: Judge only, change nothing.
        port: The port to listen on, 0 for any free one.
        gate: For a dry run: judge by this gate instead of the one that is kept.
        at_once: Let it serve without the declared roll-out, in place of whatever serves or is being rolled out.
        break_glass: Why it must serve although its gate refuses it, "" otherwise. It serves at once, everybody is told.
        breaking: Why its contract may break callers that were seen lately, "" where it may not.
        expect: Refuse unless this is the number of the endpoint's newest revision, 0 for none; None not to ask.
    """

    model: str
    version: str = "latest"
    endpoint: str = ""
    dry_run: bool = False
    port: int = 0
    gate: GateSpec | None = None
    at_once: bool = False
    break_glass: str = ""
    breaking: str = ""
    expect: int | None = None


class Check(Struct, frozen=True, kw_only=True):
    """What the gate would say of a model version now.

    Args:
        model: The model's name.
        version: A number, an alias, or "latest".
        endpoint: The endpoint whose gate is asked, "" for the model's own name.
    """

    model: str
    version: str = "latest"
    endpoint: str = ""


class Deployed(Struct, frozen=True, kw_only=True):
    """The verdict, and after a deployment the revision and where it answers.

    Args:
        verdict: What the gate says; of a way back the verdict by which it served.
        revision: The new one, None of a dry run.
        status: What its process says of itself.
        change: What was changed or, in a dry run, would be; None where the gate refuses it.
    """

    verdict: Verdict
    revision: Revision | None
    status: EndpointStatus | None
    change: RevisionChange | None = None


class Rollback(Struct, frozen=True, kw_only=True):
    """Go back to an earlier revision: a new revision equal to it. `to` 0 means the one before the present.

    With `scores`, for a batch endpoint, its table is again what that model scored last. With `dry_run` nothing is changed.
    With `expect` it is refused unless that is the number of the newest revision.
    """

    name: str
    to: int = 0
    reason: str = ""
    scores: bool = False
    dry_run: bool = False
    expect: int | None = None


class StartDrill(Struct, frozen=True, kw_only=True):
    """Prove that the way back works.

    Args:
        name: The endpoint.
        to: The revision to go back to; 0 for the one before the present.
        live: Really go back and forward again, under the traffic of the time; otherwise no caller notices.
        reason: Why.
    """

    name: str
    to: int = 0
    live: bool = False
    reason: str = ""


class Drilled(Struct, frozen=True, kw_only=True):
    """What was shown."""

    drill: Drill


class Stop(Struct, frozen=True, kw_only=True):
    """Stop an endpoint's processes; its revisions and logs stay."""

    name: str


class Stopped(Struct, frozen=True, kw_only=True):
    """Whether a process was running."""

    was_running: bool


class Watch(Struct, frozen=True, kw_only=True):
    """Read an endpoint's logs and judge: drift, quality, cost."""

    name: str


class Watched(Struct, frozen=True, kw_only=True):
    """What the monitors found, and the incidents that are open.

    Args:
        predictions: What the present model answered in the last 70 days.
        labels: For how many of these a label has come. Of a log of more than half a million rows both are reckoned from a share.
        findings: One a monitor.
        incidents: Those that are open.
        unmatched: For how many predictions or keys labels came that match nothing the endpoint ever answered.
        unmatched_example: One of these, in words: "key Q1", "" where there is none.
    """

    predictions: int
    labels: int
    findings: tuple[Finding, ...]
    incidents: tuple[Incident, ...]
    unmatched: int = 0
    unmatched_example: str = ""


class Consistency(Struct, frozen=True, kw_only=True):
    """Compute served features again, offline and as of their requests.

    Args:
        name: The endpoint.
        since: Only requests decided at or after this; None for the last day.
        sample: The share of keys whose requests are computed again; 0 for what keeps within a few thousand requests.
    """

    name: str
    since: datetime | None = None
    sample: float = 0.0


class Reports(Struct, frozen=True, kw_only=True):
    """The newest consistency report of every endpoint that has one, by the endpoint's name."""

    reports: tuple[ConsistencyReport, ...]


operations = (
    Operation(
        name="endpoints.list",
        summary="List the endpoints and whether they answer.",
        permission="endpoints.read",
        request=Empty,
        response=Endpoints,
        body="slipway.flows.endpoints:list_endpoints",
    ),
    Operation(
        name="endpoints.get",
        summary="Show one endpoint: revisions, process, verdict, findings, incidents.",
        permission="endpoints.read",
        request=GetEndpoint,
        response=EndpointDetail,
        body="slipway.flows.endpoints:get_endpoint",
    ),
    Operation(
        name="endpoints.reports",
        summary="Show the newest consistency report of each endpoint.",
        permission="endpoints.read",
        request=Empty,
        response=Reports,
        body="slipway.flows.endpoints:list_reports",
    ),
    Operation(
        name="endpoints.callers",
        summary="List who may call an endpoint, who answers for them, and when they called last.",
        permission="endpoints.read",
        request=AskCallers,
        response=Callers,
        body="slipway.flows.callers:list_callers",
    ),
    Operation(
        name="endpoints.deploy",
        summary="Judge a model version by its gate and, when it passes, let it serve.",
        permission="endpoints.deploy",
        request=Deploy,
        response=Deployed,
        body="slipway.flows.deploy:deploy",
        changes=True,
    ),
    Operation(
        name="gates.check",
        summary="Say what the gate would say of a model version now; nothing is changed.",
        permission="gates.check",
        request=Check,
        response=Deployed,
        body="slipway.flows.deploy:check",
    ),
    Operation(
        name="endpoints.rollback",
        summary="Go back to what served before.",
        permission="endpoints.deploy",
        request=Rollback,
        response=Deployed,
        body="slipway.flows.deploy:rollback",
        changes=True,
    ),
    Operation(
        name="endpoints.drill",
        summary="Prove that the way back works, and time it.",
        permission="endpoints.deploy",
        request=StartDrill,
        response=Drilled,
        body="slipway.flows.drill:drill",
        changes=True,
    ),
    Operation(
        name="endpoints.stop",
        summary="Stop an endpoint's processes, or the scoring of a batch endpoint.",
        permission="endpoints.deploy",
        request=Stop,
        response=Stopped,
        body="slipway.flows.score:stop_scoring",
        changes=True,
    ),
    Operation(
        name="endpoints.watch",
        summary="Judge what an endpoint has answered: drift, quality by labels, cost.",
        permission="endpoints.watch",
        request=Watch,
        response=Watched,
        body="slipway.flows.watch:watch",
        changes=True,
    ),
    Operation(
        name="endpoints.consistency",
        summary="Compare the features that an endpoint served with the same computed offline as of their requests.",
        permission="endpoints.watch",
        request=Consistency,
        response=ConsistencyReport,
        body="slipway.flows.consistency:consistency",
        changes=True,
    ),
)
