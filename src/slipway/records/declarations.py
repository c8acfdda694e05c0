"""What a project declared, as the ledger keeps it so that a server can act without the project's code."""

from datetime import datetime

from slipway.records.contracts import ContractTerms
from slipway.records.endpoints import BatchSpec, FallbackSpec, LogSpec, MonitorSpec, OldSystemSpec, StreamSpec
from slipway.records.gates import GateSpec
from slipway.records.loop import RetrainSpec, TriggerSpec
from slipway.records.record import Record
from slipway.records.rollouts import RolloutSpec

__all__ = ["DeclaredEndpoint", "DeclaredTable", "declared_id"]


def declared_id(project: str, environment: str, name: str) -> str:
    """The id of a declaration of an endpoint or a table: each environment keeps its own, so that dev's gate is never prod's."""
    return f"{project}/{environment}/{name}"


class DeclaredEndpoint(Record, frozen=True, kw_only=True, tag="endpoint"):
    """An endpoint as declared. Id: `<project>/<environment>/<name>`; its revisions say what serves.

    Args:
        model: The name under which its pipeline's models are registered.
        gate: The declared gate, None where none was declared.
        key: The request's fields that name a row and match late labels.
        strict: Whether unknown request fields are refused.
        workers: Processes that answer, at most.
        least: Processes that answer at least, None for as many.
        idle_us: For how long fewer must have been enough before one goes.
        monitors: What watches it.
        simulation: Whether requests may carry their own decision time.
        rollout: How a challenger is rolled out; None lets what passes its gate serve at once.
        retrain: When and how its model is trained again, None for never.
        snapshot: The digest of the project snapshot that declared it: what a retraining runs.
        online: The URL of the online store that the environment's settings name, without password; "" for the embedded
            one.
        streams: What is taken in besides pushes.
        log: How its predictions are logged.
        fallback: What answers where the model does not, None for nothing.
        memory_bytes: A worker that comes to take more memory is replaced, 0 for no limit.
        batch: What it scores, None for an endpoint that answers requests.
        caller_rate: How many requests a second each caller may send, 0 for no limit.
        old_system: What its answers are compared with, None for nothing.
        label_window_us: How far a label by key and time reaches back, 0 where it takes none.
        kpi: The metric contract that it is under, None for none.
    """

    model: str
    gate: GateSpec | None = None
    key: tuple[str, ...] = ()
    strict: bool = False
    workers: int = 1
    least: int | None = None
    idle_us: int = 600_000_000
    monitors: tuple[MonitorSpec, ...] = ()
    simulation: bool = False
    rollout: RolloutSpec | None = None
    retrain: RetrainSpec | None = None
    snapshot: str = ""
    online: str = ""
    streams: tuple[StreamSpec, ...] = ()
    log: LogSpec = LogSpec()
    fallback: FallbackSpec | None = None
    memory_bytes: int = 0
    batch: BatchSpec | None = None
    caller_rate: float = 0.0
    old_system: OldSystemSpec | None = None
    label_window_us: int = 0
    kpi: ContractTerms | None = None


class DeclaredTable(Record, frozen=True, kw_only=True, tag="declared_table"):
    """A table that the server syncs, as declared when it was last synced by hand. Id: `<project>/<environment>/<name>`.

    Args:
        parent_id: `<project>/<environment>`.
        schedule: When, None for no more.
        since: When this schedule was declared: earlier times of it are not caught up.
        snapshot: The digest of the project snapshot that declared it: what a sync runs.
        folder: Where relative paths of its source begin: the project's folder then.
    """

    parent_id: str
    schedule: TriggerSpec | None = None
    since: datetime
    snapshot: str
    folder: str = ""
