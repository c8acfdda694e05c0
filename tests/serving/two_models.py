"""A desk in the middle of a roll-out: the champion answers distance / 1000, the challenger distance / 500."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from serving_desk import Desk

from slipway.records.endpoints import Challenger, Served
from slipway.serving.active import LoadedChallenger
from slipway.serving.arms import share_of

CHALLENGER = Served(model="delays", number=2, bundle="2" * 64)


def twice(rows: Sequence[Sequence[Any]]) -> list[float]:
    return [row[0] / 500 for row in rows]


def in_rollout(desk: Desk, fraction: float, **changes: Any) -> None:
    """Roll the challenger out to a share of the rows."""
    plan = Challenger(served=CHALLENGER, fraction=fraction, rollout_id="r1")
    loaded = LoadedChallenger(**{"plan": plan, "predict": twice, "threshold": 0.9, **changes})
    assert desk.active is not None
    desk.active = replace(desk.active, challenger=loaded)


def flights(n: int = 5, distance: float = 500) -> list[dict[str, Any]]:
    return [{"flight_id": f"UA{i}", "distance": distance, "departure": None} for i in range(n)]


def is_theirs(row: dict[str, Any], fraction: float) -> bool:
    """Whether a flight is one of the challenger's."""
    return share_of("delays/2", row["flight_id"]) < fraction
