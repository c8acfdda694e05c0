"""Models: versions in the registry, their bundles, verdicts and approvals."""

from msgspec import Struct

from slipway.operations.declare import Empty, Operation
from slipway.records.gates import Approval, Verdict
from slipway.records.models import Bundle, ModelVersion
from slipway.records.record import Link
from slipway.records.reproductions import Reproduction

__all__ = [
    "AliasMoved",
    "GetModel",
    "ModelDetail",
    "ModelRow",
    "Models",
    "SetAlias",
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


class GetModel(Struct, frozen=True, kw_only=True):
    """Which model and version: a number, an alias, or "latest"."""

    name: str
    version: str = "latest"


class ModelDetail(Struct, frozen=True, kw_only=True):
    """Everything about one version: bundle, aliases, verdicts, approvals, reproductions, lineage, card.

    A version that a tracking client registered has no bundle.
    """

    version: ModelVersion
    bundle: Bundle | None
    aliases: tuple[str, ...]
    verdicts: tuple[Verdict, ...]
    approvals: tuple[Approval, ...]
    lineage: tuple[Link, ...]
    card: str
    reproductions: tuple[Reproduction, ...] = ()


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
        name="models.get",
        summary="Show one version: bundle, metrics, verdicts, approvals, lineage, card.",
        permission="models.read",
        request=GetModel,
        response=ModelDetail,
        body="slipway.flows.models:get_model",
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
