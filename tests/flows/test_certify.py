"""A model's skew certificate: kept with its training set and its bundle, made once, and made anew."""

from typing import Any

import msgspec
import pytest
from small_desk import FIRST, NAME, Desk

from slipway.errors import NotFound
from slipway.features import certificate as certificates
from slipway.flows.certify import certify, certify_anew
from slipway.flows.trained_on import training_set_of
from slipway.ledger import entries
from slipway.models import registry
from slipway.operations.features import Certify
from slipway.records.runs import Run

FIRST_ONE = Certify(model=NAME, version=str(FIRST))


def test_a_release_is_proven_on_every_path(desk: Desk) -> None:
    found = certify(desk.workspace, FIRST_ONE)
    assert (found.model, found.number, found.holds) == (NAME, FIRST, True)
    assert [check.path for check in found.certificate.paths] == ["online", "stream", "back-fill"]
    assert all(check.compared and not check.mismatches for check in found.certificate.paths)
    assert found.sentence.endswith("are equal offline, online, stream and back-fill, bit for bit")


def test_the_training_set_carries_the_certificate_that_its_model_was_released_with(desk: Desk) -> None:
    version = desk.version(FIRST)
    with desk.workspace.ledger.read() as tx:
        training = training_set_of(desk.workspace, entries.get(tx, Run, version.run_id))
    assert training is not None
    assert training.certificate is not None
    assert training.certificate == registry.bundle_of(desk.workspace, version).certificate


def test_a_definition_is_proven_once(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    made: list[str] = []
    original = certificates.certify

    def counted(spec: Any, *args: Any, **options: Any) -> Any:
        made.append(spec.definition)
        return original(spec, *args, **options)

    monkeypatch.setattr(certificates, "certify", counted)
    features = desk.project.module().delays.features
    spec = features.spec("flights")
    known = certificates.certificate_of(desk.workspace, spec, features.functions)
    assert made == []
    assert certificates.certificate_of(desk.workspace, spec, features.functions, anew=True) == known
    assert made == [spec.definition]
    other = msgspec.structs.replace(spec, definition="another")
    certificates.certificate_of(desk.workspace, other, features.functions)
    assert made == [spec.definition, "another"]


def test_another_engine_proves_again(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    features = desk.project.module().delays.features
    spec = features.spec("flights")
    monkeypatch.setattr(certificates, "_own_code", lambda: "a later release")
    found = certificates.certificate_of(desk.workspace, spec, features.functions)
    assert found.engine != certify(desk.workspace, FIRST_ONE).certificate.engine


def test_the_projects_code_is_proven_anew(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    found = certify_anew(desk.workspace, desk.project.module().delays, FIRST_ONE)
    assert found.holds
    assert found.certificate == certify(desk.workspace, FIRST_ONE).certificate


def test_no_certificate_is_a_sentence(desk: Desk) -> None:
    with pytest.raises(NotFound):
        certify(desk.workspace, Certify(model="nothing"))
