"""Roll-outs, retrainings and the loop that drives both."""

from msgspec import Struct

from slipway.operations.declare import Operation
from slipway.records.loop import Action, Retraining
from slipway.records.rollouts import Rollout

__all__ = [
    "Abort",
    "Actions",
    "GetRollout",
    "ListActions",
    "ListRetrainings",
    "ListRollouts",
    "Reconcile",
    "Reconciled",
    "Retrainings",
    "RolloutDetail",
    "Rollouts",
    "StartRetraining",
    "Started",
    "operations",
]


class ListRollouts(Struct, frozen=True, kw_only=True):
    """Of which endpoint, "" for all."""

    endpoint: str = ""
    limit: int = 100


class Rollouts(Struct, frozen=True, kw_only=True):
    """Roll-outs, newest first."""

    rollouts: tuple[Rollout, ...]


class GetRollout(Struct, frozen=True, kw_only=True):
    """Which endpoint; its newest roll-out unless an id is given."""

    endpoint: str
    id: str = ""


class RolloutDetail(Struct, frozen=True, kw_only=True):
    """One roll-out with all its looks."""

    rollout: Rollout


class Abort(Struct, frozen=True, kw_only=True):
    """End the roll-out under way: the champion answers everything again."""

    endpoint: str
    reason: str = ""


class ListActions(Struct, frozen=True, kw_only=True):
    """What the loop did at an endpoint, after an action's number."""

    endpoint: str
    after: int = 0
    limit: int = 1000


class Actions(Struct, frozen=True, kw_only=True):
    """Actions, oldest first."""

    actions: tuple[Action, ...]


class Reconcile(Struct, frozen=True, kw_only=True):
    """Bring everything one step nearer to what is declared, now.

    Args:
        endpoint: Of which endpoint, "" for all.
        settle: Wait first until retrainings that run have ended, so that machine time decides nothing.
    """

    endpoint: str = ""
    settle: bool = False


class Reconciled(Struct, frozen=True, kw_only=True):
    """What was done, and how many retrainings, roll-outs, syncs of tables and firings of schedules are under way."""

    actions: tuple[Action, ...]
    retraining: int
    rolling_out: int
    syncing: int = 0
    firing: int = 0


class StartRetraining(Struct, frozen=True, kw_only=True):
    """Train an endpoint's model again from the project's snapshot; the reason is kept."""

    endpoint: str
    reason: str


class Started(Struct, frozen=True, kw_only=True):
    """The retraining as it began."""

    retraining: Retraining


class ListRetrainings(Struct, frozen=True, kw_only=True):
    """Of which endpoint."""

    endpoint: str
    limit: int = 100


class Retrainings(Struct, frozen=True, kw_only=True):
    """Retrainings, newest first."""

    retrainings: tuple[Retraining, ...]


operations = (
    Operation(
        name="rollouts.list",
        summary="List roll-outs and how they stand.",
        permission="endpoints.read",
        request=ListRollouts,
        response=Rollouts,
        body="slipway.flows.rollouts:list_rollouts",
    ),
    Operation(
        name="rollouts.get",
        summary="Show one roll-out: plan, looks, evidence.",
        permission="endpoints.read",
        request=GetRollout,
        response=RolloutDetail,
        body="slipway.flows.rollouts:get_rollout",
    ),
    Operation(
        name="rollouts.abort",
        summary="End the roll-out under way; the champion answers everything again.",
        permission="endpoints.deploy",
        request=Abort,
        response=RolloutDetail,
        body="slipway.flows.rollouts:abort",
        changes=True,
    ),
    Operation(
        name="retrainings.list",
        summary="List an endpoint's retrainings: what asked for them, what came of them.",
        permission="endpoints.read",
        request=ListRetrainings,
        response=Retrainings,
        body="slipway.loop.retrain:list_retrainings",
    ),
    Operation(
        name="retrainings.start",
        summary="Train an endpoint's model again from the project's snapshot.",
        permission="endpoints.deploy",
        request=StartRetraining,
        response=Started,
        body="slipway.loop.retrain:start_by_hand",
        changes=True,
    ),
    Operation(
        name="loop.actions",
        summary="List what the loop did at an endpoint, and why.",
        permission="endpoints.read",
        request=ListActions,
        response=Actions,
        body="slipway.loop.actions:list_actions",
    ),
    Operation(
        name="loop.reconcile",
        summary="Watch, retrain and roll out whatever is due now.",
        permission="endpoints.deploy",
        request=Reconcile,
        response=Reconciled,
        body="slipway.loop.reconcile:reconcile",
        changes=True,
    ),
)
