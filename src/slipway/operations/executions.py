"""Everything that executes, in one list: what runs, what waits, what is late or stuck, what is due next."""

from datetime import datetime
from typing import Literal, get_args

from msgspec import Struct

from slipway.operations.declare import Operation
from slipway.records.costs import Rates

__all__ = [
    "KINDS",
    "STATES",
    "AskExecutions",
    "Due",
    "Execution",
    "ExecutionKind",
    "ExecutionState",
    "Executions",
    "operations",
]

ExecutionKind = Literal[
    "run", "retraining", "firing", "scoring", "materialisation", "simulation", "CI run", "promotion", "action"
]
ExecutionState = Literal["running", "waiting", "done", "failed", "late", "stuck"]
KINDS: tuple[str, ...] = get_args(ExecutionKind)
STATES: tuple[str, ...] = get_args(ExecutionState)


class AskExecutions(Struct, frozen=True, kw_only=True):
    """Which ones.

    Args:
        kind: One of `KINDS`, "" for all.
        state: One of `STATES`, "" for all.
        limit: How many at most, 1 to 500.
    """

    kind: str = ""
    state: str = ""
    limit: int = 100


class Execution(Struct, frozen=True, kw_only=True):
    """Something that runs, ran, or waits for its turn.

    Args:
        kind: What sort of thing.
        id: Its own.
        name: What people call it.
        state: "late": it should have begun and did not; "stuck": no sign of life for longer than its like take.
        why: What came of it, what it waits for, or why it is late or stuck; "" where there is nothing to say.
        started_at: When it began, or was to begin.
        seconds: For how long it has been going, or went; None where nobody measured it.
        cpu_s: Seconds for which processes were held; None where nobody measured it or whoever asks may not see costs.
        money: What these cost, None without a rate.
        by: Who, or what, asked for it.
        is_simulated: Whether that is a person that a demonstration plays.
        place: The parts of the address of its page within the project.
    """

    kind: ExecutionKind
    id: str
    name: str
    state: ExecutionState
    why: str = ""
    started_at: datetime
    seconds: float | None = None
    cpu_s: float | None = None
    money: float | None = None
    by: str = ""
    is_simulated: bool = False
    place: tuple[str, ...] = ()


class Due(Struct, frozen=True, kw_only=True):
    """What begins next by a clock: of which kind, when, and by which words of a schedule."""

    kind: ExecutionKind
    name: str
    at: datetime
    trigger: str
    place: tuple[str, ...] = ()


class Executions(Struct, frozen=True, kw_only=True):
    """Executions, those that need a look and those under way first, then the newest.

    Args:
        executions: Those that were asked for.
        more: How many of those looked at were left out.
        kinds: How many of each kind, of the state that was asked for.
        states: How many of each state, of the kind that was asked for.
        due: What begins next by a clock, the soonest first.
        rates: By what money is reckoned.
        rule: What "late" and "stuck" mean, in words.
    """

    executions: tuple[Execution, ...] = ()
    more: int = 0
    kinds: dict[str, int] = {}
    states: dict[str, int] = {}
    due: tuple[Due, ...] = ()
    rates: Rates = Rates()
    rule: str = ""


operations = (
    Operation(
        name="executions.list",
        summary="List everything that executes: what runs, waits, is late or stuck, what it took, what is due next.",
        permission="projects.read",
        request=AskExecutions,
        response=Executions,
        body="slipway.flows.executions:list_executions",
    ),
)
