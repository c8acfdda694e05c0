"""Roll-outs, retrainings and the loop that drives both."""

from datetime import datetime

from msgspec import Struct

from slipway.operations.declare import Operation
from slipway.records.loop import Action, Retraining
from slipway.records.rollouts import RevisionChange, Rollout

__all__ = [
    "Abort",
    "Actions",
    "Advance",
    "GetRollout",
    "GetStories",
    "ListActions",
    "ListRetrainings",
    "ListRollouts",
    "Pause",
    "Reconcile",
    "Reconciled",
    "Resume",
    "Retrainings",
    "RolloutDetail",
    "Rollouts",
    "StartRetraining",
    "Started",
    "Stories",
    "Story",
    "StoryLine",
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
    """One roll-out with all its looks, and what is to be known of it now.

    Args:
        rollout: The roll-out; of a dry run as it stands.
        change: What was changed or, in a dry run, would be; None where nothing was asked for.
        is_dry: Whether nothing was changed.
        asked: Who decides at the deadline, in words, "" where slipway.toml names nobody.
    """

    rollout: Rollout
    change: RevisionChange | None = None
    is_dry: bool = False
    asked: str = ""


class Pause(Struct, frozen=True, kw_only=True):
    """Let the traffic of the roll-out under way stay as it is.

    Args:
        endpoint: At which endpoint.
        reason: Why; it is kept.
        dry_run: Say what would change, and change nothing.
        expect: Refuse unless this is the number of the endpoint's newest revision; None not to ask.
    """

    endpoint: str
    reason: str = ""
    dry_run: bool = False
    expect: int | None = None


class Resume(Struct, frozen=True, kw_only=True):
    """Let a roll-out go on that was paused or has come to its deadline, or give it more time.

    Args:
        endpoint: At which endpoint.
        more: How much more time its present phase or step gets, business time: "7d".
        reason: Why; it is kept.
        dry_run: Say what would change, and change nothing.
        expect: Refuse unless this is the number of the endpoint's newest revision; None not to ask.
    """

    endpoint: str
    more: str = ""
    reason: str = ""
    dry_run: bool = False
    expect: int | None = None


class Advance(Struct, frozen=True, kw_only=True):
    """Let the roll-out under way take one step although its evidence is undecided.

    Args:
        endpoint: At which endpoint.
        reason: Why; it is kept.
        dry_run: Say what would change, and change nothing.
        expect: Refuse unless this is the number of the endpoint's newest revision; None not to ask.
    """

    endpoint: str
    reason: str
    dry_run: bool = False
    expect: int | None = None


class Abort(Struct, frozen=True, kw_only=True):
    """End the roll-out under way: the champion answers everything again.

    Args:
        endpoint: At which endpoint.
        reason: Why; it is kept.
        dry_run: Say what would change, and change nothing.
        expect: Refuse unless this is the number of the endpoint's newest revision; None not to ask.
    """

    endpoint: str
    reason: str = ""
    dry_run: bool = False
    expect: int | None = None


class ListActions(Struct, frozen=True, kw_only=True):
    """What the loop did at an endpoint, after an action's number."""

    endpoint: str
    after: int = 0
    limit: int = 1000


class Actions(Struct, frozen=True, kw_only=True):
    """Actions, oldest first."""

    actions: tuple[Action, ...]


class GetStories(Struct, frozen=True, kw_only=True):
    """What the loop did at an endpoint, told from alarm to outcome."""

    endpoint: str
    limit: int = 10


class StoryLine(Struct, frozen=True, kw_only=True):
    """One thing that happened.

    Args:
        at: Business time.
        what: An action's kind, or "yield": whether a retraining helped.
        sentence: What and why, with figures.
        owner: The role that was told, "" for nobody.
        subjects: Lineage nodes it is about.
    """

    at: datetime
    what: str
    sentence: str
    owner: str = ""
    subjects: tuple[str, ...] = ()


class Story(Struct, frozen=True, kw_only=True):
    """What belongs together, from its first line to its last.

    Args:
        number: Of the action that began it.
        since: When it began, business time.
        until: When the last of it happened.
        lines: What happened, oldest first.
        policy: The row of the loop's policy that it followed, "" where a schedule or a person asked.
        outcome: How it ended, or how far it is.
    """

    number: int
    since: datetime
    until: datetime
    lines: tuple[StoryLine, ...]
    policy: str = ""
    outcome: str = ""


class Stories(Struct, frozen=True, kw_only=True):
    """Stories, the newest first.

    Args:
        stories: As many as were asked for.
        more: How many there are besides.
        sentence: What retraining was worth so far.
    """

    stories: tuple[Story, ...]
    more: int = 0
    sentence: str = ""


class Reconcile(Struct, frozen=True, kw_only=True):
    """Bring everything one step nearer to what is declared, now.

    Args:
        endpoint: Of which endpoint, "" for all.
        settle: Wait first until retrainings that run have ended, so that machine time decides nothing.
    """

    endpoint: str = ""
    settle: bool = False


class Reconciled(Struct, frozen=True, kw_only=True):
    """What was done; and how many retrainings, roll-outs, syncs of tables, firings and scorings are under way."""

    actions: tuple[Action, ...]
    retraining: int
    rolling_out: int
    syncing: int = 0
    firing: int = 0
    scoring: int = 0


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
        body="slipway.flows.rollout_words:list_rollouts",
    ),
    Operation(
        name="rollouts.get",
        summary="Show one roll-out: plan, looks, evidence.",
        permission="endpoints.read",
        request=GetRollout,
        response=RolloutDetail,
        body="slipway.flows.rollout_words:get_rollout",
    ),
    Operation(
        name="rollouts.pause",
        summary="Let the traffic of the roll-out under way stay as it is.",
        permission="rollouts.decide",
        request=Pause,
        response=RolloutDetail,
        body="slipway.flows.rollout_words:pause",
        changes=True,
    ),
    Operation(
        name="rollouts.resume",
        summary="Let a paused or overdue roll-out go on, or give it more time.",
        permission="rollouts.decide",
        request=Resume,
        response=RolloutDetail,
        body="slipway.flows.rollout_words:resume",
        changes=True,
    ),
    Operation(
        name="rollouts.advance",
        summary="Let the roll-out under way take one step though its evidence is undecided.",
        permission="rollouts.decide",
        request=Advance,
        response=RolloutDetail,
        body="slipway.loop.by_hand:advance",
        changes=True,
    ),
    Operation(
        name="rollouts.abort",
        summary="End the roll-out under way; the champion answers everything again.",
        permission="rollouts.decide",
        request=Abort,
        response=RolloutDetail,
        body="slipway.flows.rollout_words:abort",
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
        name="loop.stories",
        summary="Tell what the loop did at an endpoint, from alarm to outcome.",
        permission="endpoints.read",
        request=GetStories,
        response=Stories,
        body="slipway.loop.story:get_stories",
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
