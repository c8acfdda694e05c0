"""Endpoints: the contract with their callers, and the revisions that say what serves."""

from datetime import datetime
from typing import Literal

import blake3
import msgspec
from msgspec import Struct

from slipway.records.contracts import ContractTerms
from slipway.records.features import Scalar
from slipway.records.health import ServiceSpec
from slipway.records.people import Actor
from slipway.records.plugged import Plugged
from slipway.records.record import Record
from slipway.records.schedules import ScheduleTrigger
from slipway.records.schema import Field

__all__ = [
    "EMBEDDED",
    "BatchSpec",
    "Challenger",
    "Contract",
    "EndpointStatus",
    "LogSpec",
    "FallbackBy",
    "FallbackSpec",
    "MonitorSpec",
    "OldSystemSpec",
    "OnlinePlace",
    "Revision",
    "Rule",
    "Served",
    "Split",
    "StandAlone",
    "StreamSpec",
    "Way",
]

FallbackBy = Literal["version", "rule", "value"]
"""What answers in a model's place: an earlier version, a rule of the project, or a value that was fixed."""


class Contract(Struct, frozen=True, kw_only=True):
    """What an endpoint's callers may rely on; versioned apart from its models.

    Args:
        fields: The request's fields; each model's request is a subset of them.
        key: The fields that name the row in the log and match late labels, () for the prediction's id only.
        strict: Whether unknown fields are refused; otherwise they are counted and shown.
        max_rows: Rows a request may carry.
        max_bytes: Bytes a request may carry.
        bulk_rows: Rows an Arrow stream may carry.
        bulk_bytes: Bytes an Arrow stream may carry, and its texts when each row has its own.
        label_window_us: How long before its own time a label by key and time reaches back to decisions, 0 for none.
    """

    fields: tuple[Field, ...]
    key: tuple[str, ...] = ()
    strict: bool = False
    max_rows: int = 1000
    max_bytes: int = 4 << 20
    bulk_rows: int = 1_000_000
    bulk_bytes: int = 128 << 20
    label_window_us: int = 0


class Served(Struct, frozen=True, kw_only=True):
    """One model version that a revision serves.

    Args:
        model: Its name.
        number: Its number.
        bundle: The bundle's digest and its folder's name.
        environment: The lock of the environment in whose workers it answers; "" for the endpoint's own interpreter.
    """

    model: str
    number: int
    bundle: str
    environment: str = ""


class Challenger(Struct, frozen=True, kw_only=True):
    """A second model beside the one that serves, for the time of a roll-out.

    Each row is assigned by itself and keeps its arm: see `serving.arms`. Whichever model does not answer a row scores it
    unseen, off the request's path, so that both can be compared row by row.

    Args:
        served: The challenger.
        fraction: The share of rows that it answers; 0 in shadow.
        rollout_id: The roll-out, or the A/B test.
        name: What the log calls its arm: "challenger" in a roll-out, in an A/B test the version's.
        sample: The share of the answered rows that the other model scores too.
    """

    served: Served
    fraction: float = 0.0
    rollout_id: str
    name: str = "challenger"
    sample: float = 1.0


class Split(Struct, frozen=True, kw_only=True):
    """How an A/B test assigns rows to arms: all rows of an entity to one.

    Args:
        salt: What the entity is hashed with, so that each test draws anew.
        entity: The request's fields that name the entity, () for the contract's key.
    """

    salt: str
    entity: tuple[str, ...] = ()


class Rule(Struct, frozen=True, kw_only=True):
    """A function of a request's fields that answers in a model's place, with all the code that it needs.

    Args:
        function: Its name, its arguments and their types, and the module that holds it.
        sources: The reduced modules by path: "rules.py". The revision's signature covers them.
    """

    function: Scalar
    sources: dict[str, str]


class Way(Struct, frozen=True, kw_only=True):
    """One way to answer in a model's place.

    Args:
        by: Which kind it is.
        number: For "version": the declared number, 0 for whichever served before.
        served: For "version": that version, None as long as nobody deployed.
        rule: For "rule": the function.
        value: For "value": the answer.
    """

    by: FallbackBy
    number: int = 0
    served: Served | None = None
    rule: Rule | None = None
    value: float = 0.0


class FallbackSpec(Struct, frozen=True, kw_only=True):
    """What answers where the model that serves does not.

    Args:
        ways: Asked in this order, until one has an answer.
        within_us: How long a request may take in all, microseconds.
        alert_above: The share of answers by the fallback above which an incident opens, None for never.
        required: Inputs of the model that it must not be asked without.
    """

    ways: tuple[Way, ...]
    within_us: int
    alert_above: float | None = None
    required: tuple[str, ...] = ()

    @property
    def served(self) -> tuple[Served, ...]:
        """The versions that it may answer with."""
        return tuple(way.served for way in self.ways if way.served is not None)


class MonitorSpec(Struct, frozen=True, kw_only=True):
    """A monitor as data.

    Args:
        kind: "drift", "quality", "estimated", "kpi", "consistency", "freshness", "fallback" or "service", or
            "custom": a plug-in.
        name: Unique in the endpoint.
        metric: For quality and estimated: the metric; for kpi: "cost"; for freshness: the name of the view or windows.
        label_delay_us: How long a label may take.
        limit: For quality, estimated and kpi: a figure worse than this alerts, None to compare with the evaluation. For consistency:
            the greatest share of a feature's values that may differ from offline. For freshness: a greater share of
            keys without a fresh row alerts. For fallback: a greater share of answers that are not the model's does.
        window_us: How much business time before the youngest mature prediction is judged together.
        service: For service: what is promised.
        contract: For kpi: the metric contract that is watched, None where it is what decisions cost.
        every_us: For drift: the window that is compared with like ones before it, an hour or a day.
        pages_a_month: For drift: how many false pages a month are bearable; None for drift that is only noted.
        holidays: For drift: days that are like no other, as ISO dates.
        segment: For drift: the input whose mix is told apart from changes within its values, "" for none.
        absent: For quality: "negative" where a prediction without a label that is older than the delay counts as one.
        slices: For quality: columns of the log by whose values it is judged too.
        group: For quality: the column that says which rows are one request, or one series.
        custom: For custom: the plug-in that judges.
    """

    kind: Literal["drift", "quality", "estimated", "kpi", "consistency", "freshness", "fallback", "service", "custom"]
    name: str
    metric: str = ""
    label_delay_us: int = 0
    limit: float | None = None
    window_us: int = 28 * 86_400_000_000
    service: ServiceSpec | None = None
    contract: ContractTerms | None = None
    every_us: int = 86_400_000_000
    pages_a_month: float | None = None
    holidays: tuple[str, ...] = ()
    segment: str = ""
    absent: str = ""
    slices: tuple[str, ...] = ()
    group: str = ""
    custom: Plugged | None = None


class LogSpec(Struct, frozen=True, kw_only=True):
    """How an endpoint's predictions are logged, as data.

    Args:
        keep_us: For how much business time a day stays, 0 for ever.
        sample: The share of rows that is logged.
        sync: Whether an answer waits until its rows are on the disk.
        redact: Whether values of personal columns stay out of it.
        redacted: The names of fields and inputs that stay out, as was known when a revision was published.
        roll_us: After how much machine time a segment is closed and becomes Parquet.
    """

    keep_us: int = 0
    sample: float = 1.0
    sync: bool = False
    redact: bool = False
    redacted: tuple[str, ...] = ()
    roll_us: int = 3_600_000_000


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


class BatchSpec(Struct, frozen=True, kw_only=True):
    """What makes an endpoint a batch endpoint: the table that it scores, and where the scores go.

    Args:
        table: The table whose rows are scored.
        into: The table that gets their scores.
        time: The column of a row's decision time; "" where all rows are decided when their scoring begins.
        when: What starts a scoring by itself: clocks and new versions of a table.
        max_refused: The greatest share of the rows that may go without a score; above it nothing is published.
        batch_rows: How many rows are read, scored and kept at once.
        executor: Where parts are scored, as the environment's settings named it when the endpoint was declared.
    """

    table: str
    into: str
    time: str = ""
    when: tuple[ScheduleTrigger, ...] = ()
    max_refused: float = 0.01
    batch_rows: int = 100_000
    executor: str = "threads"


class OldSystemSpec(Struct, frozen=True, kw_only=True):
    """An older system that answers the same rows by HTTP, to be compared with: nothing of it reaches a caller.

    Args:
        url: Where it answers POST, without any secret.
        score: Where the score stands in its answer: names and places between dots, "*" for the rows of a list.
        fields: Its names of the fields that are sent, to ours; {} sends all under their own names.
        rows: Under which name several rows are sent as a list, "" for a list that is the whole body; None for one row a
            request, which is the body.
        headers: What is sent besides; secrets stand there by the name of an environment variable or a file only.
        timeout_us: How long it may take for one request.
        at_once: How many requests are under way at most.
        sample: The share of the answered rows that it is asked for.
        tolerance: Scores that are no further apart agree.
        protocol: "json", or "v2": each field is a tensor of the Open Inference Protocol.
    """

    url: str
    score: str = "score"
    fields: dict[str, str] = {}
    rows: str | None = None
    headers: dict[str, str] = {}
    timeout_us: int = 2_000_000
    at_once: int = 4
    sample: float = 1.0
    tolerance: float = 1e-6
    protocol: Literal["json", "v2"] = "json"

    @property
    def mark(self) -> str:
        """16 digits that name it in the log: another declaration of where and how it is asked is another system."""
        said = [self.url, self.score, sorted(self.fields.items()), self.rows]
        asked = msgspec.json.encode(said if self.protocol == "json" else [*said, self.protocol])
        return blake3.blake3(asked).hexdigest()[:16]


class Revision(Record, frozen=True, kw_only=True, tag="revision"):
    """The desired state of an endpoint, immutable and numbered. Id: `<project>/<endpoint>/<number>`; name: endpoint's.

    Args:
        number: Counts the endpoint's revisions from 1.
        environment: "dev", "test" or "prod".
        served: What answers.
        contract: What callers may rely on.
        workers: Processes that answer, at most.
        least: Processes that answer at least, 0 where the endpoint may sleep; None for as many as `workers`.
        idle_us: For how long fewer processes must have been enough before one goes, machine time.
        simulation: Whether a request may carry its own decision time.
        log: How its predictions are logged.
        host: The address to listen on.
        port: The port to listen on.
        verdict_id: The verdict that let it through.
        actor: Who deployed.
        reason: Why: "deploy", "rollback to 3".
        monitors: What watches it.
        challenger: What is being rolled out beside `served`, None outside roll-outs; the first arm of an A/B test.
        beside: The further arms of an A/B test.
        split: How an A/B test assigns rows to its arms, None outside A/B tests.
        streams: What is taken in besides pushes.
        by_token: Whether the store knew people when it was published: then nobody is answered whom the endpoint's list
            of callers does not name.
        personal: The models' inputs that tell of a person, as was known when it was published: explanations show no value
            of them that a caller did not send.
        fallback: What answers where `served` does not, None for nothing: its callers are then told of the failure.
        memory_bytes: A worker that comes to take more memory is replaced, 0 for no limit.
        batch: What it scores, None for an endpoint that answers requests. Its `workers` are parts at once.
        caller_rate: How many requests a second each caller may send, 0 for no limit.
        old_system: What its answers are compared with off the requests' path, None for nothing.
    """

    number: int
    environment: str
    served: Served
    contract: Contract
    workers: int = 1
    least: int | None = None
    idle_us: int = 600_000_000
    simulation: bool = False
    log: LogSpec = LogSpec()
    host: str = "127.0.0.1"
    port: int = 0
    verdict_id: str = ""
    actor: Actor
    reason: str = "deploy"
    monitors: tuple[MonitorSpec, ...] = ()
    challenger: Challenger | None = None
    streams: tuple[StreamSpec, ...] = ()
    by_token: bool = False
    personal: tuple[str, ...] = ()
    fallback: FallbackSpec | None = None
    memory_bytes: int = 0
    batch: BatchSpec | None = None
    beside: tuple[Challenger, ...] = ()
    split: Split | None = None
    caller_rate: float = 0.0
    old_system: OldSystemSpec | None = None

    @property
    def challengers(self) -> tuple[Challenger, ...]:
        """All that answers beside `served` for the time of a roll-out or an A/B test, in the order of their shares."""
        return (*([] if self.challenger is None else [self.challenger]), *self.beside)

    @property
    def versions(self) -> tuple[Served, ...]:
        """All versions that may answer under it, each once: the one that serves, the challengers, those of the fallback."""
        beside = [one.served for one in self.challengers]
        behind = [] if self.fallback is None else self.fallback.served
        return tuple(dict.fromkeys([self.served, *beside, *behind]))

    @property
    def fewest(self) -> int:
        """Processes that answer at least."""
        return self.workers if self.least is None else min(self.least, self.workers)


class StandAlone(Struct, frozen=True, kw_only=True):
    """What an image serves: one version behind one contract, without a store, a log or a challenger.

    Args:
        project: The model's project.
        name: Under which name it answers.
        served: The version.
        contract: What callers may rely on.
        caller_rate: How many requests a second all callers together may send to one container, 0 for no limit.
    """

    project: str
    name: str
    served: Served
    contract: Contract
    caller_rate: float = 0.0


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
        replaced: Why one was replaced last, "" where none was.
        refused: The number of a newer revision that was published and cannot be loaded, 0 for none; `note` says why.
        unlogged: How many rows it answered since it started that are not in the prediction log and should be: the queue
            was full, or the log could not be written.
        unknown: How often which field came since it started that the contract does not know, some of them.
        workers: How many processes answer now; 0 while it sleeps. None where an earlier release wrote it.
        crashes: The last workers that ended without being told to, since it started: the revision that served, and when
            (machine time, aware UTC).
        at: Machine time of writing, aware UTC.
    """

    endpoint: str
    pid: int
    url: str
    revision: int
    state: Literal["starting", "ready", "draining", "failed"]
    note: str = ""
    restarts: int = 0
    replaced: str = ""
    refused: int = 0
    unlogged: int = 0
    unknown: dict[str, int] = {}
    workers: int | None = None
    crashes: tuple[tuple[int, datetime], ...] = ()
    at: datetime
