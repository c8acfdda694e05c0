"""Endpoints: the contract with their callers, and the revisions that say what serves."""

from datetime import datetime
from typing import Literal

from msgspec import Struct

from slipway.records.people import Actor
from slipway.records.record import Record
from slipway.records.schema import Field

__all__ = [
    "EMBEDDED",
    "Challenger",
    "Contract",
    "EndpointStatus",
    "MonitorSpec",
    "OnlinePlace",
    "Revision",
    "Served",
    "StreamSpec",
]


class Contract(Struct, frozen=True, kw_only=True):
    """What an endpoint's callers may rely on; versioned apart from its models.

    Args:
        fields: The request's fields; each model's request is a subset of them.
        key: The fields that name the row in the log and match late labels, () for the prediction's id only.
        strict: Whether unknown fields are refused; otherwise they are counted and shown.
        max_rows: Rows a request may carry.
        max_bytes: Bytes a request may carry.
    """

    fields: tuple[Field, ...]
    key: tuple[str, ...] = ()
    strict: bool = False
    max_rows: int = 1000
    max_bytes: int = 4 << 20


class Served(Struct, frozen=True, kw_only=True):
    """One model version that a revision serves: name, number, bundle digest and its folder's name."""

    model: str
    number: int
    bundle: str


class Challenger(Struct, frozen=True, kw_only=True):
    """A second model beside the one that serves, for the time of a roll-out.

    Each row is assigned by itself and keeps its arm: see `serving.arms`. Whichever model does not answer a row scores it
    unseen, off the request's path, so that both can be compared row by row.

    Args:
        served: The challenger.
        fraction: The share of rows that it answers; 0 in shadow.
        rollout_id: The roll-out.
    """

    served: Served
    fraction: float = 0.0
    rollout_id: str


class MonitorSpec(Struct, frozen=True, kw_only=True):
    """A monitor as data.

    Args:
        kind: "drift", "quality", "kpi", "consistency" or "freshness".
        name: Unique in the endpoint.
        metric: For quality: the metric; for kpi: "cost"; for freshness: the name of the view or windows.
        label_delay_us: How long a label may take.
        limit: For quality and kpi: a figure worse than this alerts, None to compare with the evaluation. For consistency:
            the greatest share of a feature's values that may differ from offline. For freshness: a greater share of
            keys without a fresh row alerts.
        window_us: How much business time before the youngest mature prediction is judged together.
    """

    kind: Literal["drift", "quality", "kpi", "consistency", "freshness"]
    name: str
    metric: str = ""
    label_delay_us: int = 0
    limit: float | None = None
    window_us: int = 28 * 86_400_000_000


class StreamSpec(Struct, frozen=True, kw_only=True):
    """A stream of events that an endpoint takes in by itself.

    Args:
        url: Where it is, as declared: a password stands there by the name of an environment variable only.
        name: The stream's.
        source: The table whose rows its entries are, "" where they are a view's.
        view: The feature view whose rows they are.
    """

    url: str
    name: str
    source: str = ""
    view: str = ""


class Revision(Record, frozen=True, kw_only=True, tag="revision"):
    """The desired state of an endpoint, immutable and numbered. Id: `<project>/<endpoint>/<number>`; name: endpoint's.

    Args:
        number: Counts the endpoint's revisions from 1.
        environment: "dev", "test" or "prod".
        served: What answers.
        contract: What callers may rely on.
        workers: Processes that answer.
        simulation: Whether a request may carry its own decision time.
        log_sync: Whether an answer waits until its log row is on disk.
        host: The address to listen on.
        port: The port to listen on.
        verdict_id: The verdict that let it through.
        actor: Who deployed.
        reason: Why: "deploy", "rollback to 3".
        monitors: What watches it.
        challenger: What is being rolled out beside `served`, None outside roll-outs.
        streams: What is taken in besides pushes.
        by_token: Whether the store knew people when it was published: then nobody is answered whom the endpoint's list
            of callers does not name.
    """

    number: int
    environment: str
    served: Served
    contract: Contract
    workers: int = 1
    simulation: bool = False
    log_sync: bool = False
    host: str = "127.0.0.1"
    port: int = 0
    verdict_id: str = ""
    actor: Actor
    reason: str = "deploy"
    monitors: tuple[MonitorSpec, ...] = ()
    challenger: Challenger | None = None
    streams: tuple[StreamSpec, ...] = ()
    by_token: bool = False


class OnlinePlace(Struct, frozen=True, kw_only=True):
    """Where an endpoint's features are looked up, kept in its folder as `online.json`.

    Args:
        url: The shared store's, as slipway.toml says it: a password stands there by the name of an environment variable
            only. "" for the store embedded in the endpoint's folder.
        namespace: Whose rows of it: the project's in one environment.
        identity: Which content was loaded; another one, or none, means that it was lost since.
    """

    url: str = ""
    namespace: str = ""
    identity: str = ""


EMBEDDED = OnlinePlace()
"""The online store in the endpoint's own folder."""


class EndpointStatus(Struct, frozen=True, kw_only=True):
    """What an endpoint process says of itself, written by its supervisor to `status.json`.

    Args:
        endpoint: Its name.
        pid: The supervisor's.
        url: Where it answers.
        revision: The number that serves now, 0 before the first is loaded.
        state: "starting", "ready", "draining", "failed".
        note: A sentence where something is wrong.
        restarts: How often a worker had to be replaced.
        refused: The number of a newer revision that was published and cannot be loaded, 0 for none; `note` says why.
        at: Machine time of writing, aware UTC.
    """

    endpoint: str
    pid: int
    url: str
    revision: int
    state: Literal["starting", "ready", "draining", "failed"]
    note: str = ""
    restarts: int = 0
    refused: int = 0
    at: datetime
