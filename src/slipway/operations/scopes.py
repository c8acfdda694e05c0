"""Scopes: what a model is wanted for, what it must take at full scale, and how far that is shown."""

from msgspec import Struct

from slipway.operations.declare import Empty, Operation
from slipway.records.scopes import KeptScope, Requirement, ScopeTerms

__all__ = ["CaseStudy", "GetScope", "KeepScope", "MakeStudy", "ScopeDetail", "ScopeState", "Scopes", "operations"]


class GetScope(Struct, frozen=True, kw_only=True):
    """Which scope."""

    name: str


class KeepScope(Struct, frozen=True, kw_only=True):
    """A scope as it is to stand.

    Args:
        terms: What it says.
        former: The digest of the terms that were read before they were changed; "" to keep them whatever stands there.
    """

    terms: ScopeTerms
    former: str = ""


class MakeStudy(Struct, frozen=True, kw_only=True):
    """Which scope, and the run of the proof of concept: its id or the beginning of it."""

    name: str
    run: str


class ScopeState(Struct, frozen=True, kw_only=True):
    """A scope, and how many of its needs are measured, missed, and not yet measured."""

    scope: KeptScope
    measured: int
    missed: int
    unmeasured: int


class Scopes(Struct, frozen=True, kw_only=True):
    """All scopes of the project, by name."""

    scopes: tuple[ScopeState, ...]


class ScopeDetail(Struct, frozen=True, kw_only=True):
    """A scope with each of its needs.

    Args:
        scope: As it stands.
        requirements: Each need beside what is known of it.
        studies: Runs from which a case study can be made: those of its model, the newest first.
    """

    scope: KeptScope
    requirements: tuple[Requirement, ...]
    studies: tuple[str, ...] = ()


class CaseStudy(Struct, frozen=True, kw_only=True):
    """What a proof of concept showed, on one page.

    Args:
        scope: The scope as it stands.
        run: The run's id.
        requirements: Each need beside what is known of it, what this run showed included.
        markdown: The page.
    """

    scope: KeptScope
    run: str
    requirements: tuple[Requirement, ...]
    markdown: str


operations = (
    Operation(
        name="scopes.list",
        summary="List scopes.",
        permission="scopes.read",
        request=Empty,
        response=Scopes,
        body="slipway.flows.scope:list_scopes",
    ),
    Operation(
        name="scopes.get",
        summary="Show what a model is wanted for, and how far each need is shown.",
        permission="scopes.read",
        request=GetScope,
        response=ScopeDetail,
        body="slipway.flows.scope:get_scope",
    ),
    Operation(
        name="scopes.keep",
        summary="Write down what a model is wanted for.",
        permission="scopes.write",
        request=KeepScope,
        response=ScopeDetail,
        body="slipway.flows.scope:keep",
        changes=True,
    ),
    Operation(
        name="scopes.study",
        summary="Put on one page what a proof of concept showed.",
        permission="scopes.read",
        request=MakeStudy,
        response=CaseStudy,
        body="slipway.flows.case_study:study",
    ),
)
