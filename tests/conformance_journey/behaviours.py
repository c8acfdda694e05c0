"""The journey: every behaviour in its order, which both columns go through."""

from collections.abc import Callable, Mapping

from conformance_journey import (
    errors,
    features,
    governance,
    models,
    pipelines,
    rollouts,
    runs,
    serving,
    tables,
    tracking,
    watching,
)
from conformance_journey.world import World

Behaviour = Callable[[World], None]

AREAS: Mapping[str, tuple[Behaviour, ...]] = {
    "Tables": tables.BEHAVIOURS,
    "Pipelines": pipelines.BEHAVIOURS,
    "Runs": runs.BEHAVIOURS,
    "Models, gates and deployments": models.BEHAVIOURS,
    "Features": features.BEHAVIOURS,
    "Serving": serving.BEHAVIOURS,
    "MLflow's clients": tracking.BEHAVIOURS,
    "Watching and schedules": watching.BEHAVIOURS,
    "Roll-outs and retrainings": rollouts.BEHAVIOURS,
    "Errors and the server itself": errors.BEHAVIOURS,
    "Governance": governance.BEHAVIOURS,
}
BEHAVIOURS = tuple(one for area in AREAS.values() for one in area)


def sentence(behaviour: Behaviour) -> str:
    """What a behaviour says of itself."""
    return (behaviour.__doc__ or "").partition("\n")[0].strip()
