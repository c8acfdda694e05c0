"""Models: versions in the registry, their bundles, verdicts and approvals."""

from datetime import datetime
from typing import Any

from msgspec import Struct

from slipway.operations.declare import Empty, Operation
from slipway.records.explanations import Explanation
from slipway.records.gates import Approval, Verdict
from slipway.records.models import Bundle, LoggedModel, ModelVersion
from slipway.records.people import Actor
from slipway.records.record import Link
from slipway.records.reproductions import Reproduction
from slipway.records.search import Search

__all__ = [
    "AliasAt",
    "AliasMoved",
    "AskedRow",
    "DiffVersions",
    "FoundModels",
    "GetHistory",
    "GetLoggedModel",
    "GetModel",
    "ModelDetail",
    "ModelHistory",
    "ModelMove",
    "ModelRow",
    "Models",
    "MovedPart",
    "SetAlias",
    "Turned",
    "WhatIf",
    "WhatIfAnswer",
    "VersionsDiff",
    "operations",
]


class ModelRow(Struct, frozen=True, kw_only=True):
    """A version with the aliases that point at it and its overall metrics."""

    version: ModelVersion
    aliases: tuple[str, ...]
    metrics: dict[str, float]


class Models(Struct, frozen=True, kw_only=True):
    """The registry's versions, newest first."""

    models: tuple[ModelRow, ...]


class FoundModels(Struct, frozen=True, kw_only=True):
    """A page of versions, and the token of the next one, "" when nothing follows."""

    models: tuple[ModelRow, ...]
    token: str = ""


class GetModel(Struct, frozen=True, kw_only=True):
    """Which model and version: a number, an alias, or "latest"."""

    name: str
    version: str = "latest"


class ModelDetail(Struct, frozen=True, kw_only=True):
    """Everything about one version: bundle, aliases, verdicts, approvals, reproductions, lineage.

    A version that a tracking client registered has no bundle.
    """

    version: ModelVersion
    bundle: Bundle | None
    aliases: tuple[str, ...]
    verdicts: tuple[Verdict, ...]
    approvals: tuple[Approval, ...]
    lineage: tuple[Link, ...]
    reproductions: tuple[Reproduction, ...] = ()


class GetLoggedModel(Struct, frozen=True, kw_only=True):
    """Which logged model: `m-` and 32 hex digits."""

    id: str


class GetHistory(Struct, frozen=True, kw_only=True):
    """Whose history.

    Args:
        name: The model.
        alias: Only this alias; "" for all.
        at: The moment to tell of where the aliases stood: a date or an instant, in UTC unless it says otherwise; now when
            left out.
    """

    name: str
    alias: str = ""
    at: str = ""


class AliasAt(Struct, frozen=True, kw_only=True):
    """Where an alias pointed at a moment, and since when. "stage Production" is a stage, which may hold several."""

    alias: str
    number: int
    since: datetime


class ModelMove(Struct, frozen=True, kw_only=True):
    """One move of an alias or stage, as the audit log tells it.

    Args:
        at: When.
        alias: Which.
        number: The version that it points at from then on, 0 for none.
        before: Where it pointed before, 0 for nowhere.
        actor: Who moved it.
        reason: Why.
        evidence: What was known of the version then: its newest verdict, as a node of the lineage.
        event: The event's number in the audit log.
    """

    at: datetime
    alias: str
    number: int
    before: int
    actor: Actor
    reason: str
    evidence: tuple[str, ...]
    event: int


class ModelHistory(Struct, frozen=True, kw_only=True):
    """Where the aliases of a model stood at a moment, and all their moves, oldest first."""

    at: datetime
    standing: tuple[AliasAt, ...]
    moves: tuple[ModelMove, ...]


class SetAlias(Struct, frozen=True, kw_only=True):
    """Point an alias at a version; `reason` is kept with who and when."""

    name: str
    version: str
    alias: str
    reason: str = ""


class AliasMoved(Struct, frozen=True, kw_only=True):
    """Where the alias points now, and where it pointed before (0: nowhere)."""

    alias: str
    number: int
    before: int


class WhatIf(Struct, frozen=True, kw_only=True):
    """What a version is asked about.

    Args:
        name: The model.
        version: A number, an alias, or "latest".
        row: A row that it was evaluated on: its key, or "#3" for the third; the first when left out.
        given: Instead of it, a row's inputs as a JSON object.
        changed: The inputs that are to be others, as a JSON object.
        keep: Inputs that stay as they are in the search for what turns the decision, separated by commas.
    """

    name: str
    version: str = "latest"
    row: str = ""
    given: str = ""
    changed: str = ""
    keep: str = ""


class AskedRow(Struct, frozen=True, kw_only=True):
    """A row, the answer to it, and how that comes about; `unexplained` says why nobody can tell."""

    values: dict[str, Any]
    score: float
    decision: bool | None
    explanation: Explanation | None
    unexplained: str = ""


class Turned(Struct, frozen=True, kw_only=True):
    """The smallest change that was found to turn the decision: `passed` is the share of known rows that it passes."""

    changes: dict[str, Any]
    score: float
    decision: bool
    passed: float


class WhatIfAnswer(Struct, frozen=True, kw_only=True):
    """The answers to a row as it is and as it would be. It tells how the model behaves, not what causes what.

    Args:
        model: The model.
        version: Which version.
        row: What the row is called.
        before: As it is.
        after: With the changes, None without any.
        threshold: From which score on the decision is yes, None where the score itself is the answer.
        turned: What would turn the decision on it (with the changes, where there are any); None where nothing of one or two
            inputs was found, or there is no decision.
        behaviour: What all of this is, in a sentence.
    """

    model: str
    version: int
    row: str
    before: AskedRow
    after: AskedRow | None
    threshold: float | None
    turned: Turned | None
    behaviour: str


class DiffVersions(Struct, frozen=True, kw_only=True):
    """Which two versions.

    Args:
        target: MODEL or MODEL:VERSION (a number, an alias, latest), or endpoint:NAME for the version that serves there.
        before: The version that it is compared with, said likewise; "" for the one that was registered before it.
    """

    target: str
    before: str = ""


class MovedPart(Struct, frozen=True, kw_only=True):
    """A part of a version that is another, and what of it, in words."""

    part: str
    changes: tuple[str, ...]


class VersionsDiff(Struct, frozen=True, kw_only=True):
    """Which parts of two versions moved.

    Args:
        before: The version that it is compared with.
        after: The version.
        moved: The parts that are others, in the order in which a model comes about; () where nothing moved.
        same: The parts that both have alike.
    """

    before: ModelVersion
    after: ModelVersion
    moved: tuple[MovedPart, ...]
    same: tuple[str, ...]


operations = (
    Operation(
        name="models.list",
        summary="List the registered model versions, newest first.",
        permission="models.read",
        request=Empty,
        response=Models,
        body="slipway.flows.models:list_models",
    ),
    Operation(
        name="models.search",
        summary="Search the registered model versions by metrics, parameters, tags, aliases, run, dates and other attributes.",
        permission="models.read",
        request=Search,
        response=FoundModels,
        body="slipway.flows.models:search_models",
    ),
    Operation(
        name="models.get",
        summary="Show one version: bundle, metrics, verdicts, approvals, lineage.",
        permission="models.read",
        request=GetModel,
        response=ModelDetail,
        body="slipway.flows.models:get_model",
    ),
    Operation(
        name="models.logged",
        summary="Show a model that a tracking client logged: its run, parameters, metrics and files.",
        permission="models.read",
        request=GetLoggedModel,
        response=LoggedModel,
        body="slipway.models.logged:logged_model",
    ),
    Operation(
        name="models.what_if",
        summary="Ask a version about a row with some inputs changed, and for the smallest change that turns its decision.",
        permission="tables.read",
        request=WhatIf,
        response=WhatIfAnswer,
        body="slipway.flows.what_if:what_if",
    ),
    Operation(
        name="models.history",
        summary="Tell who moved which alias of a model when, why and on which evidence, and what served at a moment.",
        permission="models.read",
        request=GetHistory,
        response=ModelHistory,
        body="slipway.models.history:model_history",
    ),
    Operation(
        name="models.diff",
        summary="Say in words which parts of two versions moved: data, code, libraries, signature, model, metrics, card.",
        permission="models.read",
        request=DiffVersions,
        response=VersionsDiff,
        body="slipway.flows.version_changes:diff_versions",
    ),
    Operation(
        name="models.alias",
        summary="Point an alias, such as champion, at a version.",
        permission="models.write",
        request=SetAlias,
        response=AliasMoved,
        body="slipway.flows.models:set_alias",
        changes=True,
    ),
)
