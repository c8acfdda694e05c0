"""What is asked of an endpoint's drift: as of now, as a map over time, and one column's questions with its histograms."""

from datetime import datetime
from typing import Literal

from msgspec import Struct

from slipway.operations.declare import Operation

__all__ = [
    "AskColumn",
    "AskDrift",
    "AskMap",
    "Bar",
    "ColumnDrift",
    "DriftMap",
    "DriftRow",
    "DriftTable",
    "MapCell",
    "MapColumn",
    "Verdict",
    "operations",
]

Verdict = Literal["drifted", "moved", "steady", "cannot tell"]


class AskDrift(Struct, frozen=True, kw_only=True):
    """How an endpoint's inputs and answers stand against like windows before."""

    name: str


class DriftRow(Struct, frozen=True, kw_only=True):
    """One question about one column.

    Args:
        column: The column.
        other: Of dependence the column that it depends on, else "".
        question: "shape", "missing", "unseen", "tails", "dependence", or what else training's profile answers.
        verdict: "drifted" by enough windows, "moved" in the last window only, "steady", "cannot tell".
        effect: How much, beyond what is usual between like windows: a share of the rows, of dependence a correlation.
        low: Lower end of its 95 % interval.
        high: Upper end.
        floor: Below it a change is too small to matter.
        now: The window's share, or correlation.
        before: The usual one.
        season: What it was compared with.
        since: Begin of the first window of those that moved, None where none did.
        rows: Rows of the window.
        effective: How many independent rows would tell as much.
        is_used: Whether the model uses the column.
        sentence: The same in words.
        feed: Which feed the column comes from.
    """

    column: str
    question: str
    verdict: Verdict
    effect: float = 0.0
    low: float = 0.0
    high: float = 1.0
    floor: float
    now: float = 0.0
    before: float = 0.0
    season: str = ""
    since: datetime | None = None
    rows: int = 0
    effective: int = 0
    is_used: bool = True
    sentence: str = ""
    feed: str = "request"
    other: str = ""


class DriftTable(Struct, frozen=True, kw_only=True):
    """All questions of all columns after the last whole window.

    Args:
        endpoint: Its name.
        model: What serves there.
        window_from: Begin of the window, None without traffic.
        window_until: Its end.
        rows: Its rows.
        season: What it was compared with.
        pages_a_month: The budget of false pages, None where drift is only noted.
        broken: Feeds that show one thing only, in words.
        columns: Drifted ones first, of these the ones that matter most.
        note: Why nothing can be told, "" where something is.
    """

    endpoint: str
    model: str
    window_from: datetime | None
    window_until: datetime | None
    rows: int
    season: str
    pages_a_month: float | None
    broken: tuple[str, ...]
    columns: tuple[DriftRow, ...]
    note: str = ""


class AskMap(Struct, frozen=True, kw_only=True):
    """Of which endpoint, and how far back.

    Args:
        name: The endpoint's.
        period: "24h", which is shown by the hour; "7d", "30d", or "all" that is kept, ten weeks: these by the day.
    """

    name: str
    period: str = "30d"


class MapCell(Struct, frozen=True, kw_only=True):
    """One column in one window: the worst of its questions.

    Args:
        verdict: Its verdict.
        question: Which question it is.
        effect: How much: a share of the rows, of dependence a correlation.
        floor: Below it a change is too small to matter.
        season: What it was compared with: like windows, or "training" while there are none.
        sentence: The same in words.
    """

    verdict: Verdict
    question: str = ""
    effect: float = 0.0
    floor: float = 0.0
    season: str = ""
    sentence: str = ""


class MapColumn(Struct, frozen=True, kw_only=True):
    """One column over time.

    Args:
        column: Its name; "score" is what the model answered.
        feed: Which feed it comes from.
        is_used: Whether the model uses it.
        importance: The share of the answers that rests on it, None where nobody asked.
        cells: One a window.
    """

    column: str
    feed: str
    is_used: bool
    importance: float | None = None
    cells: tuple[MapCell, ...] = ()


class DriftMap(Struct, frozen=True, kw_only=True):
    """The columns of an endpoint by window, as each window was judged by those before it.

    Args:
        endpoint: Its name.
        model: What serves there.
        unit: What a window is.
        windows: When each begins, the oldest first; windows without traffic are left out.
        rows: Its rows.
        columns: The answers first, then the inputs by how much the model uses them.
        note: Why there is nothing, "" where there is something.
    """

    endpoint: str
    model: str
    unit: Literal["hour", "day"]
    windows: tuple[datetime, ...] = ()
    rows: tuple[int, ...] = ()
    columns: tuple[MapColumn, ...] = ()
    note: str = ""


class AskColumn(Struct, frozen=True, kw_only=True):
    """Of which endpoint which column, in which window.

    Args:
        name: The endpoint's.
        column: The column's.
        window: Any time within the window: "2026-01-31T00:00:00Z"; "" for the last whole one.
        unit: What a window is: "hour" or "day"; "" for what the endpoint's monitor looks at.
    """

    name: str
    column: str
    window: str = ""
    unit: str = ""


class Bar(Struct, frozen=True, kw_only=True):
    """One range of values, or one category.

    Args:
        label: Which.
        training: Share of training's rows.
        usual: Share of the rows of like windows before, None where there are none.
        now: Share of the window's rows.
    """

    label: str
    training: float
    usual: float | None
    now: float


class ColumnDrift(Struct, frozen=True, kw_only=True):
    """One column in one window: its questions, and how its values lie beside what is usual and beside training.

    Args:
        endpoint: The endpoint.
        model: What serves there.
        column: The column.
        feed: Which feed it comes from.
        is_used: Whether the model uses it.
        importance: The share of the answers that rests on it, None where nobody asked.
        unit: What a window is.
        window_from: When the window begins, None where nothing was counted.
        window_until: When it ends.
        rows: Its rows.
        windows: When each window that can be chosen begins, the oldest first.
        season: What it was compared with.
        questions: The five questions, of dependence each pair.
        bars: How the values lie; () where that is hidden.
        hidden: Why it is hidden, "" where it is not.
        note: Why nothing can be told, "" where something is.
    """

    endpoint: str
    model: str
    column: str
    feed: str = "request"
    is_used: bool = True
    importance: float | None = None
    unit: Literal["hour", "day"] = "day"
    window_from: datetime | None = None
    window_until: datetime | None = None
    rows: int = 0
    windows: tuple[datetime, ...] = ()
    season: str = ""
    questions: tuple[DriftRow, ...] = ()
    bars: tuple[Bar, ...] = ()
    hidden: str = ""
    note: str = ""


operations = (
    Operation(
        name="endpoints.drift",
        summary="Show how each input and the answers of an endpoint stand against like windows before.",
        permission="endpoints.read",
        request=AskDrift,
        response=DriftTable,
        body="slipway.flows.drift:drift",
    ),
    Operation(
        name="endpoints.drift_map",
        summary="Show each input and the answers of an endpoint window by window, as they were judged.",
        permission="endpoints.read",
        request=AskMap,
        response=DriftMap,
        body="slipway.flows.drift_map:drift_map",
    ),
    Operation(
        name="endpoints.drift_column",
        summary="Show one input of an endpoint in one window: its questions, and its values beside usual and training.",
        permission="endpoints.read",
        request=AskColumn,
        response=ColumnDrift,
        body="slipway.flows.drift_map:drift_column",
    ),
)
