"""Endpoints: what serves, since when, let through by which verdict, and how it is doing."""

from datetime import datetime

from msgspec import Struct

from slipway.operations.declare import Empty, Operation
from slipway.records.consistency import ConsistencyReport
from slipway.records.endpoints import EndpointStatus, Revision
from slipway.records.feeds import FeedCounts
from slipway.records.gates import GateSpec, Verdict
from slipway.records.monitors import Finding, Incident

__all__ = [
    "Check",
    "Consistency",
    "Deploy",
    "Deployed",
    "EndpointDetail",
    "EndpointRow",
    "Endpoints",
    "GetEndpoint",
    "Reports",
    "Rollback",
    "Stop",
    "Stopped",
    "Watch",
    "Watched",
    "operations",
]


class EndpointRow(Struct, frozen=True, kw_only=True):
    """An endpoint's newest revision beside what its process says of itself."""

    revision: Revision
    status: EndpointStatus | None


class Endpoints(Struct, frozen=True, kw_only=True):
    """All endpoints by name."""

    endpoints: tuple[EndpointRow, ...]


class GetEndpoint(Struct, frozen=True, kw_only=True):
    """Which endpoint."""

    name: str


class EndpointDetail(Struct, frozen=True, kw_only=True):
    """Revisions (newest first), process, verdict of the newest, findings and incidents (newest first), and its feeds.

    Feeds are what the process that runs, or ran last, found when it looked features up; `consistency` is the newest
    report on the features that it served.
    """

    revisions: tuple[Revision, ...]
    status: EndpointStatus | None
    verdict: Verdict | None
    findings: tuple[Finding, ...]
    incidents: tuple[Incident, ...]
    consistency: ConsistencyReport | None = None
    feeds: tuple[FeedCounts, ...] = ()


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
    """

    model: str
    version: str = "latest"
    endpoint: str = ""
    dry_run: bool = False
    port: int = 0
    gate: GateSpec | None = None
    at_once: bool = False
    break_glass: str = ""


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
    """The verdict, and after a deployment the revision and where it answers."""

    verdict: Verdict
    revision: Revision | None
    status: EndpointStatus | None


class Rollback(Struct, frozen=True, kw_only=True):
    """Go back to an earlier revision: a new revision equal to it. `to` 0 means the one before the present."""

    name: str
    to: int = 0
    reason: str = ""


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
        predictions: What the present model answered.
        labels: For how many of these a label has come.
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
        name="endpoints.stop",
        summary="Stop an endpoint's processes.",
        permission="endpoints.deploy",
        request=Stop,
        response=Stopped,
        body="slipway.flows.endpoints:stop",
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
