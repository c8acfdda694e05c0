"""What pages show of promotions: the way with its stages and where it stands; and what was serving when."""

from collections.abc import Sequence
from typing import Literal

from slipway.errors import InvalidInput, NotFound
from slipway.records.promotions import Promotion, PromotionStage, StageState
from slipway.server.rollouts import Stage
from slipway.server.view import Context, View

__all__ = ["serving", "way", "ways"]

_PLACES: dict[StageState, Literal["passed", "present", "ahead", "ended"]] = {
    "done": "passed",
    "failed": "ended",
    "waiting": "present",
    "under way": "present",
    "to do": "ahead",
}


def way(promotion: Promotion) -> list[Stage]:
    """The stages of a promotion, in order, and where it stands."""
    return [Stage(stage.name, _PLACES[stage.state]) for stage in promotion.stages]


def ways(promotions: Sequence[Promotion]) -> list[tuple[Promotion, list[Stage], PromotionStage | None]]:
    """Promotions as they are drawn, each with the stage that waits, failed or goes on now."""
    return [
        (one, way(one), next((stage for stage in one.stages if stage.state not in ("done", "to do")), None))
        for one in promotions
    ]


def serving(view: View) -> Context:
    """What was serving at an endpoint: at a moment that is asked for, or all of its life."""
    name = view.path["name"]
    asked = {key: view.query.get(key, "").strip() for key in ("at", "since", "until")}
    given = {key: value for key, value in asked.items() if value}
    try:
        served = view.ask("audit.serving", endpoint=name, **given).served
    except (InvalidInput, NotFound) as problem:
        if not given:
            raise
        view.sources.pop()  # what cannot be read is said under the box, to be mended there
        return {"endpoint": name, "asked": asked, "served": (), "refused": problem}
    return {"endpoint": name, "asked": asked, "served": served[::-1], "refused": None}
