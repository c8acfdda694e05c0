"""The tests of a machine-learning project as one suite: its code, its rows, its features, its models, who relies on them.

Models are trained on a sample, in a store that is thrown away. The project's own store is only read: nothing is
registered, deployed or recorded there.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import AbstractContextManager, ExitStack
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import msgspec

from slipway.data.declare import Table
from slipway.errors import InvalidInput, NotFound, near
from slipway.features.scalars import Feature
from slipway.features.sets import FeatureSet
from slipway.features.shared import SharedReference
from slipway.features.views import FeatureView
from slipway.flows.ci_code import Standing, commit_meant, moved_files, standing
from slipway.flows.ci_found import Ask, Found, Tell, look
from slipway.flows.ci_git import way_out
from slipway.flows.ci_moved import moved_of
from slipway.flows.ci_rows import data_checks
from slipway.flows.ci_sample import Sample, sampled
from slipway.flows.ci_scratch import Scratch, scratch
from slipway.flows.ci_served import build_checks, contract_checks, integration_checks
from slipway.flows.ci_trained import (
    Trained,
    example_checks,
    feature_checks,
    model_checks,
    train,
    training_checks,
    without_training,
)
from slipway.flows.ci_unit import unit_checks
from slipway.flows.endpoint import Endpoint, fed_by
from slipway.pipelines.declare import Pipeline
from slipway.ports.workspace import Workspace
from slipway.records.ci import SUITES, CiCheck, CiModel, CiReport

__all__ = ["Ask", "Code", "check"]

_TRAINED = ("features", "model", "integration", "contract", "build")


@dataclass(frozen=True, slots=True, kw_only=True)
class Code:
    """A project's code, as it is imported here.

    Args:
        folder: Where slipway.toml lies.
        tables: The declared tables, by name.
        features: The declared scalar features.
        sets: The declared feature sets.
        pipelines: The declared pipelines, by name.
        endpoints: The declared endpoints, by name.
        file_sets: The names of the declared folders of files.
    """

    folder: Path
    tables: Mapping[str, Table]
    features: Iterable[Feature]
    sets: Iterable[FeatureSet]
    pipelines: Mapping[str, Pipeline[..., Any]]
    endpoints: Mapping[str, Endpoint]
    file_sets: Iterable[str] = ()


def check(
    own: Workspace,
    code: Callable[[], Code],
    folder: Path,
    ask: Ask,
    *,
    away: Callable[[Path], AbstractContextManager[Workspace]],
    tell: Tell = lambda found: None,
) -> CiReport:
    """Run the suites of a project, and say what moved since its champion.

    Args:
        own: The project's own store, which is only read.
        code: Imports the project's code.
        folder: The project's.
        ask: Which suites, and how much.
        away: Opens an empty store in a folder, and makes it current.
        tell: Hears of each check once it has ended.

    Raises:
        InvalidInput: There is no such suite, or no such number of rows.
        NotFound: `since` names no commit.
        Conflict: Files of the project are in conflict.
    """
    _check_ask(ask)
    stands = standing(folder)
    since = _since(folder, stands, ask)
    began = time.monotonic()
    suites = tuple(name for name in SUITES if name in (ask.only or SUITES))
    checks: list[CiCheck] = []

    def take(found: Iterable[CiCheck]) -> None:
        for one in found:
            checks.append(one)
            tell(one)

    sample, models = "", tuple[CiModel, ...]()
    with scratch() as place:
        if "unit" in suites:
            take(unit_checks(folder, place))
        if set(suites) & {"data", *_TRAINED}:
            found: list[Code] = []
            imported = look("unit", "the project's code is imported", lambda: _imported(code, found))
            if not found:
                take([imported])
            if found and "data" in suites:
                take(data_checks(own, found[0].tables))
            if found and set(suites) & set(_TRAINED):
                sample, models = _Models(own, found[0], ask, suites, place, take).checked(away)
    report = CiReport(
        project=own.project,
        at=datetime.now(UTC),
        seconds=round(time.monotonic() - began, 3),
        suites=suites,
        sample=sample,
        checks=tuple(sorted(checks, key=lambda one: SUITES.index(one.suite))),
        models=tuple(models),
    )
    return _with_code(report, folder, stands, ask, since)


def _check_ask(ask: Ask) -> None:
    for name in ask.only:
        if name not in SUITES:
            raise InvalidInput(f"There is no suite {name!r}.", fix=near(name, SUITES, what="suites"), field="only")
    if ask.rows < 0:
        raise InvalidInput(f"{ask.rows} rows are no sample.", fix="Give 1 or more, or 0 for all.", field="rows")


def _since(folder: Path, stands: Standing, ask: Ask) -> str:
    if not ask.since:
        return ""
    if stands.unknown:
        raise InvalidInput(
            f"--since {ask.since} was given, and which code moved since cannot be told.",
            why=stands.unknown,
            fix="Mend that, or leave --since out.",
            field="since",
        )
    return commit_meant(folder, ask.since)


def _imported(code: Callable[[], Code], found: list[Code]) -> Found:
    found.append(code())
    return Found("passed", "It is imported.")


class _Models:
    """The suites for which models are trained."""

    def __init__(
        self,
        own: Workspace,
        code: Code,
        ask: Ask,
        suites: tuple[str, ...],
        place: Scratch,
        take: Callable[[Iterable[CiCheck]], None],
    ) -> None:
        self._own, self._code, self._ask, self._suites, self._place = own, code, ask, suites, place
        self._take = take

    def checked(self, away: Callable[[Path], AbstractContextManager[Workspace]]) -> tuple[str, tuple[CiModel, ...]]:
        """Run them; returns what the models were trained on, and each beside its champion."""
        if "features" in self._suites:
            self._take(example_checks(self._features()))
        pipelines = self._pipelines()
        if not pipelines:
            return self._without(Found("skipped", "The project declares no pipeline."))
        if beyond := self._beyond():
            told = f"The project uses {', '.join(beyond)}, which a store that is thrown away does not have."
            return self._without(Found("skipped", told, "Train it in dev: slipway run PIPELINE"))
        with ExitStack() as stack:
            store = stack.enter_context(away(self._place.folder / "store"))
            drawn: list[Sample] = []
            asked = look("model", "sample", lambda: self._sampled(store, drawn))
            if "model" in self._suites or not drawn:
                self._take([asked])
            if not drawn:
                return self._without(Found("skipped", f"there are no rows. {asked.sentence}", asked.fix))
            models = tuple(self._of(store, drawn[0].is_whole, *one) for one in pipelines)
        return drawn[0].sentence, models

    def _of(self, store: Workspace, is_whole: bool, pipeline: Pipeline[..., Any], endpoint: Endpoint | None) -> CiModel:
        one = train(store, pipeline, endpoint)
        if "model" not in self._suites:  # what asks for a model has failed with it, whichever suites were asked for
            self._take(found for found in training_checks(one) if found.state == "failed")
        for suite, found in self._checks(store, one, is_whole):
            if suite in self._suites:
                self._take(found)
        folder = self._place.folder / "beside" / one.name
        return moved_of(self._own, store, one, folder, is_whole=is_whole)

    def _checks(self, store: Workspace, one: Trained, is_whole: bool) -> Iterator[tuple[str, Iterable[CiCheck]]]:
        yield "features", [feature_checks(one)] if "features" in self._suites else []
        yield "model", model_checks(store, one, is_whole=is_whole)
        yield "integration", integration_checks(store, one)
        yield "contract", contract_checks(self._own, store, one)
        yield "build", build_checks(store, one, self._place.folder / "build", image=self._ask.image)

    def _without(self, why: Found) -> tuple[str, tuple[CiModel, ...]]:
        for suite in self._suites:
            if suite in _TRAINED:
                self._take(without_training(suite, why))
        return "", ()

    def _sampled(self, store: Workspace, drawn: list[Sample]) -> Found:
        views: list[FeatureView] = [view for made in self._code.sets for view in made.views.values()]
        code = self._code
        drawn.append(sampled(self._own, store, code.tables, views, rows=self._ask.rows, folder=code.folder))
        return Found("passed", drawn[0].sentence)

    def _features(self) -> list[Feature]:
        found = {one.name: one for one in self._code.features}
        for made in self._code.sets:
            found |= {part.name: part for part in made.parts if isinstance(part, Feature)}
        return list(found.values())

    def _beyond(self) -> list[str]:
        """What pipelines may read that is not in the declared tables: it is of other projects, or in files."""
        parts = (part for made in self._code.sets for part in made.parts)
        shared = [f"{part.reference} of another project" for part in parts if isinstance(part, SharedReference)]
        return [*dict.fromkeys(shared), *(f"the files {name}" for name in self._code.file_sets)]

    def _pipelines(self) -> list[tuple[Pipeline[..., Any], Endpoint | None]]:
        """Those that feed an endpoint, each with it; where none does, all."""
        endpoints = self._code.endpoints.values()
        fed = [(one, fed_by(endpoints, one)) for one in self._code.pipelines.values()]
        return [pair for pair in fed if pair[1] is not None] or fed


def _with_code(report: CiReport, folder: Path, stands: Standing, ask: Ask, since: str) -> CiReport:
    """The report with where the code stands, and what of it moved since the champion's commit or the named one."""
    if stands.unknown:
        told = f"Which code moved is not told. {stands.unknown}"
        return msgspec.structs.replace(report, notes=(*report.notes, told))
    notes = list(report.notes)
    if stands.amid:
        notes.append(
            f"The repository is in the middle of a {stands.amid}: this is about the files as they lie there now. "
            f"It is ended by: {way_out(stands.amid)}"
        )
    commit, named = since, ask.since
    trained = next((one for one in report.models if one.commit), None)
    if not commit and trained is not None:
        try:
            commit, named = (
                commit_meant(folder, trained.commit),
                f"{trained.commit[:12]}, which trained {trained.champion}",
            )
        except NotFound:
            notes.append(
                f"The commit {trained.commit[:12]} that trained {trained.champion} is not in this clone, so that which code "
                "moved is not told. Fetch it (git fetch --unshallow), or name another: --since COMMIT"
            )
    elif not commit and any(one.champion for one in report.models):
        notes.append("The champion was trained outside of git: name what the code is compared with: --since COMMIT")
    files = moved_files(folder, commit) if commit else ()
    return msgspec.structs.replace(
        report,
        commit=stands.commit,
        branch=stands.branch,
        is_dirty=stands.is_dirty,
        since=named if commit else "",
        files=files,
        notes=tuple(notes),
    )
