"""A trained model as it would be served: asked over HTTP, beside what its callers rely on, as package and image."""

from __future__ import annotations

import json
import math
import platform
from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory

from slipway.errors import InvalidInput, MissingExtra, NotFound
from slipway.flows.asking import loaded_within
from slipway.flows.callers import SEEN_WITHIN, breaks_seen
from slipway.flows.ci_found import Found, look
from slipway.flows.ci_trained import Trained, in_vain
from slipway.flows.contracts import request_fields
from slipway.flows.deploy import contract_of
from slipway.flows.endpoints import revision_of
from slipway.flows.image import build_image, check_alone
from slipway.flows.metric_contracts import signed_as_declared
from slipway.flows.replay_rows import FITTED, fitted_rows, over_http, replay_rows
from slipway.flows.take_out import take_out
from slipway.models import bundle as bundles
from slipway.models.scoring import TOLERANCE
from slipway.ports.workspace import Workspace
from slipway.records.ci import CiCheck
from slipway.records.contracts import ContractTerms
from slipway.records.declarations import DeclaredEndpoint
from slipway.records.models import Bundle, ModelVersion

__all__ = ["build_checks", "contract_checks", "integration_checks"]

_INTEGRATION, _CONTRACT, _BUILD = "integration", "contract", "build"
_ROWS = 50
_MACHINES = {"x86_64": "linux/amd64", "aarch64": "linux/arm64", "arm64": "linux/arm64"}


def integration_checks(away: Workspace, one: Trained) -> Iterator[CiCheck]:
    """The package answers over HTTP, in the process that would serve it, as the model was trained.

    Args:
        away: The store that is thrown away.
        one: What was trained.
    """
    name = f"{one.name}: asked over HTTP"
    version, bundle = one.version, one.bundle
    if version is None or bundle is None:
        yield look(_INTEGRATION, name, lambda: in_vain(one))
    elif bundle.features is not None:
        gate = one.endpoint.gate if one.endpoint is not None else None
        is_asked = gate is not None and any(check.kind == "replayed" for check in gate.spec.checks)
        yield look(_INTEGRATION, name, lambda: _replayed(away, version, bundle, is_asked))
    else:
        yield look(_INTEGRATION, name, lambda: _asked(away, version, bundle))


def _replayed(away: Workspace, version: ModelVersion, bundle: Bundle, is_asked: bool) -> Found:
    told = replay_rows(away, version, bundle, _ROWS)
    if told.verdict == "equal":
        return Found("passed", told.sentence)
    bad = [one for one in told.columns if one.differing]
    # Neither keys nor values: a report is read by people who may not see them.
    words = "; ".join(f"{one.column} differ in {one.differing:,} of {one.compared:,} rows" for one in bad)
    if [one.column for one in bad] == [FITTED] and not is_asked:
        # Its answers are right; some models are meant to be fitted on rows of another make, and a gate may forbid it.
        fitted = f"{bad[0].differing} of {bad[0].compared} rows that it was fitted on are none of its training set"
        said = f"{told.rows} training rows are answered over HTTP with the values of training. A warning: {fitted}."
        return Found("passed", said)
    if told.verdict == "differs":
        sentence = f"Over HTTP it is otherwise than in training: {words or 'rows of training are refused'}."
    else:
        sentence = told.sentence
    fix = f"slipway replay {version.name} shows each column, once `slipway run` has registered the model."
    return Found("failed", sentence, fix)


def _asked(away: Workspace, version: ModelVersion, bundle: Bundle) -> Found:
    """A model that takes a request's fields as they are: rows that it was fitted on, and the answers of training."""
    with TemporaryDirectory(prefix="slipway-asked-") as folder:
        home = Path(folder) / "bundle"
        bundles.unpack(away, version.manifest, home, signature=version.signature, expect=version.bundle)
        model = loaded_within(home, expect=version.bundle, signer=away.signer)
        rows = fitted_rows(model)[:_ROWS]
        expected = model.predict_rows(rows)
    names = [field.name for field in request_fields(bundle)]
    bodies = [json.dumps({"rows": [_plain(names, row)]}, default=str).encode() for row in rows]
    if not bodies:
        return Found("skipped", "The package keeps no row that the model was fitted on.")
    served = over_http(away, version, bundle, bodies)
    if served.given is None:
        bad = next(answer for answer in served.answers if not answer.is_good)
        told = f"The endpoint process refuses a row that the model was fitted on: {bad.words}"
        return Found("failed", told, "Let training take what a request may hold, or refuse it there too.")
    came = served.given["score"].to_list()
    apart = [(got, was) for got, was in zip(came, expected, strict=True) if not _is_same(got, was)]
    if apart:
        told = f"{len(apart)} of {len(rows)} rows are answered otherwise over HTTP: {apart[0][0]} instead of {apart[0][1]}."
        return Found("failed", told, "Look at what happens to a row between a request and the model.")
    return Found("passed", f"{len(rows)} rows that it was fitted on are answered over HTTP as the model answers them.")


def _plain(names: list[str], row: list[object]) -> dict[str, object]:
    return {
        name: None if isinstance(value, float) and not math.isfinite(value) else value
        for name, value in zip(names, row, strict=True)
    }


def _is_same(got: float | None, was: float) -> bool:
    return got is not None and abs(got - was) <= TOLERANCE * max(1.0, abs(was))


def contract_checks(own: Workspace, away: Workspace, one: Trained) -> Iterator[CiCheck]:
    """Whether the model keeps what callers of its endpoint rely on, and its metric contracts still bear their names.

    Args:
        own: The project's own store: what serves, who called, who signed.
        away: The store that is thrown away.
        one: What was trained.
    """
    endpoint = one.endpoint
    if endpoint is None:
        told = f"The pipeline {one.pipeline.name} feeds no endpoint: nobody can call its model."
        yield look(_CONTRACT, one.name, lambda: Found("skipped", told))
        return
    declared = endpoint.declared(own.project, own.clock.now(), environment=own.environment)
    yield look(_CONTRACT, f"{one.name}: callers", lambda: _callers(own, away, one, declared))
    found = [declared.kpi, *(monitor.contract for monitor in declared.monitors)]
    for terms in {each.slug: each for each in found if each is not None}.values():
        yield look(_CONTRACT, f"{one.name}: metric contract {terms.kpi}", lambda: _signed(own, terms))  # noqa: B023


def _callers(own: Workspace, away: Workspace, one: Trained, declared: DeclaredEndpoint) -> Found:
    if one.version is None or one.bundle is None:
        return in_vain(one)
    try:
        present = revision_of(own, declared.name)
    except NotFound:
        return Found("skipped", f"Nothing serves at {declared.name} yet: nobody relies on a contract.")
    draft = contract_of(away, one.version, one.bundle, declared)
    changes, callers = breaks_seen(own, declared.name, present.contract, draft)
    if not changes:
        return Found("passed", f"Requests that revision {present.number} takes are taken as before.")
    told = "; ".join(change.sentence for change in changes)
    if not callers:
        return Found("passed", f"It changes ({told}), and nobody known called within {SEEN_WITHIN.days} days.")
    names = ", ".join(one.name for one in callers)
    fix = f"Talk to them; then it is deployed by: slipway deploy {declared.name} --break WHY"
    return Found("failed", f"It would break {names}: {told}.", fix)


def _signed(own: Workspace, terms: ContractTerms) -> Found:
    with own.ledger.read() as tx:
        state = signed_as_declared(tx, own, terms)
    show = f"slipway contract show {terms.slug}"
    if state["by"]:
        return Found("passed", f"Signed as it stands by {state['by']} on {state['on']}.")
    if state["void"]:
        return Found(
            "failed", f"Void: {state['void']}.", f"See what changed: {show}; then: slipway contract sign {terms.slug}"
        )
    return Found(
        "skipped", "Nobody has signed it yet.", f"slipway contract draft, then: slipway contract sign {terms.slug}"
    )


def build_checks(away: Workspace, one: Trained, folder: Path, *, image: bool) -> Iterator[CiCheck]:
    """Whether the model's package can be taken out and asked, and an image built of it.

    Args:
        away: The store that is thrown away.
        one: What was trained.
        folder: Where to build; what is built stays there until it is removed.
        image: Whether to build the image.
    """
    version, bundle = one.version, one.bundle
    if version is None or bundle is None:
        yield look(_BUILD, f"{one.name}: package", lambda: in_vain(one))
        return
    yield look(_BUILD, f"{one.name}: package", lambda: _package(away, version, folder))
    if image:
        yield look(_BUILD, f"{one.name}: image", lambda: _image(away, version, bundle, folder))


def _package(away: Workspace, version: ModelVersion, folder: Path) -> Found:
    home = folder / f"{version.name}-{version.number}"
    take_out(away, version, home)
    checked = loaded_within(home, expect=version.bundle, signer=away.signer).check_sample(whole=True)
    size = sum(path.stat().st_size for path in home.rglob("*") if path.is_file())
    return Found("passed", f"{size / 1e6:,.1f} MB, signed and verified; loaded from its files, {checked.sentence}")


def _image(away: Workspace, version: ModelVersion, bundle: Bundle, folder: Path) -> Found:
    try:
        check_alone(bundle)
    except InvalidInput as problem:  # it is served here all the same
        return Found("skipped", f"No image was built: {problem.what}", problem.fix)
    machine = _MACHINES.get(platform.machine(), "linux/amd64")
    try:
        built = build_image(away, version, bundle, folder / f"{version.name}-image", platform=machine)
    except MissingExtra as problem:
        return Found("skipped", f"No image was built: {problem.what}", problem.fix)
    told = f"{built.size_bytes / 1e6:,.0f} MB for {built.platform}, Python {built.python}: {built.digest[:19]}."
    return Found("passed", told)
