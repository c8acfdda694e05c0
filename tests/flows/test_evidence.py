"""Evidence: what a gate reads is measured here, on the very bytes that would serve."""

import dataclasses
import math
from pathlib import Path
from typing import Any

import msgspec
from small_desk import BETTER, FIRST, GUESSING, NAME, Desk

import slipway as sw
from slipway.backends.ed25519_signer import Ed25519Signer
from slipway.flows.evidence import champion_of, collect
from slipway.flows.judging import declared_endpoint, judge_version
from slipway.ledger import entries, lineage
from slipway.ledger.attest import signed
from slipway.models import registry
from slipway.models.bundle import NO_SAMPLE, PAYLOAD_TYPE, SAMPLE
from slipway.models.evaluation import SCORED, evaluated_rows
from slipway.models.manifest import bundle_digest, encode_manifest
from slipway.ports.workspace import Workspace
from slipway.records.gates import Evidence, GateSpec
from slipway.records.models import Bundle
from slipway.records.reproductions import Reproduction
from slipway.runs import tracking

FLOOR = GateSpec(checks=())
AGAINST = sw.Gate(
    sw.metric("auc").not_worse_than("champion", margin=0.1),
    sw.metric("log_loss").not_worse_than("champion", margin=0.1),
).spec


def collected(
    desk: Desk, number: int, gate: GateSpec = FLOOR, workspace: Workspace | None = None, **changed: Any
) -> dict[str, list[Evidence]]:
    version = desk.version(number)
    bundle = msgspec.structs.replace(registry.bundle_of(desk.workspace, version), **changed)
    found: dict[str, list[Evidence]] = {}
    for evidence in collect(workspace or desk.workspace, version, bundle, gate):
        assert evidence.subject == version.bundle
        found.setdefault(evidence.kind, []).append(evidence)
    return found


def champion(desk: Desk, number: int) -> None:
    registry.set_alias(desk.workspace, NAME, "champion", number)


def test_the_floor_is_proven_by_doing_it(desk: Desk) -> None:
    found = collected(desk, FIRST)
    for kind in ("signature", "parity", "loads", "no_skew"):
        (proof,) = found[kind]
        assert proof.values["holds"] is True, kind
        assert proof.note
    assert "greatest difference 0" in found["loads"][0].note
    assert found["environment"][0].values["differing"] == []
    assert "champion" not in found
    assert "latency" not in found


def test_a_stranger_s_signature_is_refuted_and_its_bytes_are_not_loaded(desk: Desk, tmp_path: Path) -> None:
    elsewhere = dataclasses.replace(desk.workspace, signer=Ed25519Signer(tmp_path / "other keys"))
    found = collected(desk, FIRST, workspace=elsewhere)
    assert found["signature"][0].values["holds"] is False
    assert "loads" not in found


def test_a_refuted_skew_certificate_does_not_hold(desk: Desk) -> None:
    certificate = registry.bundle_of(desk.workspace, desk.version(FIRST)).certificate
    assert certificate is not None

    def proven(**changed: Any) -> Evidence:
        altered = msgspec.structs.replace(certificate, **changed)
        (found,) = collected(desk, FIRST, certificate=altered)["no_skew"]
        return found

    assert proven().values["holds"] is True
    refuted = proven(mismatches=3, first=("hour is 1 offline and 2 online",))
    assert refuted.values["holds"] is False
    assert refuted.note.startswith("refuted: 3 of ")
    other = proven(definition="another")
    assert (other.values["holds"], other.note) == (False, "the certificate is about another definition of the features")
    without = proven(paths=tuple(check for check in certificate.paths if check.path != "stream"))
    assert without.values["holds"] is False
    assert without.note == "the certificate compared nothing on the path 'stream'"
    assert "no_skew" not in collected(desk, FIRST, certificate=None)


def test_a_lock_is_compared_with_what_is_installed(desk: Desk) -> None:
    bundle = registry.bundle_of(desk.workspace, desk.version(FIRST))
    assert bundle.environment is not None
    lock = ("click==0.0.1", "no-such-thing==1.0", bundle.environment.lock[0])
    (found,) = collected(desk, FIRST, environment=msgspec.structs.replace(bundle.environment, lock=lock))["environment"]
    assert found.values["checked"] == 3
    assert found.values["differing"][0].startswith("click 0.0.1 in the lock, 8")
    assert found.values["differing"][1] == "no-such-thing 1.0 in the lock, not installed here"


def test_a_champion_is_compared_on_the_challengers_rows(desk: Desk) -> None:
    champion(desk, FIRST)
    found = {e.values["metric"]: e.values for e in collected(desk, GUESSING, AGAINST)["champion"]}
    assert set(found) == {"auc", "log_loss"}
    assert found["auc"]["champion"] == "small-delays 1"
    assert found["auc"]["n"] == 576
    assert found["auc"]["high"] < 0 < found["log_loss"]["low"]


def test_the_same_bytes_are_no_challenger(desk: Desk) -> None:
    champion(desk, FIRST)
    assert champion_of(desk.workspace, NAME, besides=desk.version(FIRST).bundle) is None
    assert champion_of(desk.workspace, NAME, besides=desk.version(BETTER).bundle) == desk.version(FIRST)
    assert champion_of(desk.workspace, "nobody") is None
    assert "champion" not in collected(desk, FIRST, AGAINST)


def test_a_model_that_was_never_evaluated_is_not_compared(desk: Desk) -> None:
    champion(desk, FIRST)
    version = desk.version(BETTER)
    bundle = msgspec.structs.replace(registry.bundle_of(desk.workspace, version), evaluated="", label="")
    manifest = encode_manifest(bundle)
    blobs, signer = desk.workspace.blobs, desk.workspace.signer
    unevaluated = msgspec.structs.replace(
        version,
        bundle=bundle_digest(bundle),
        manifest=blobs.put(manifest),
        signature=blobs.put(signer.sign(manifest, PAYLOAD_TYPE)),
    )
    kinds = {evidence.kind for evidence in collect(desk.workspace, unevaluated, bundle, AGAINST)}
    assert "loads" in kinds
    assert "champion" not in kinds


def test_the_rows_that_judge_are_those_of_the_signed_manifest(desk: Desk) -> None:
    champion(desk, FIRST)
    version = desk.version(GUESSING)
    flattering = desk.workspace.blobs.put(b"rows that anybody who may write tags would like to be judged by")
    tags = {**version.tags, "slipway.evaluated": flattering, "slipway.label": "late"}
    bundle = registry.bundle_of(desk.workspace, version)
    found = collect(desk.workspace, msgspec.structs.replace(version, tags=tags), bundle, AGAINST)
    assert {e.values["n"] for e in found if e.kind == "champion"} == {576}


def test_latency_is_measured_for_both_only_where_it_is_asked_for(desk: Desk) -> None:
    champion(desk, FIRST)
    (found,) = collected(desk, BETTER, sw.Gate(sw.latency(times_champion=2)).spec)["latency"]
    assert 0 < found.values["candidate_ms"] < 1000
    assert 0 < found.values["champion_ms"] < 1000


def test_latency_without_samples_is_of_the_rows_that_judged_and_without_these_nobody_measured(desk: Desk) -> None:
    champion(desk, FIRST)
    blobs, gate = desk.workspace.blobs, sw.Gate(sw.latency(times_champion=2)).spec
    for number in (FIRST, BETTER):
        for file in registry.bundle_of(desk.workspace, desk.version(number)).files:
            assert file.path != SAMPLE or blobs.delete(file.digest)
    found = collected(desk, BETTER, gate)
    assert 0 < found["latency"][0].values["champion_ms"] < 1000
    assert found["loads"][0].note == f"loaded here: {NO_SAMPLE}"
    assert blobs.delete(registry.bundle_of(desk.workspace, desk.version(BETTER)).evaluated)
    assert "latency" not in collected(desk, BETTER, gate)


def told(desk: Desk, number: int, gate: sw.Gate) -> list[tuple[str, str]]:
    """What the gate says of comparisons with the champion."""
    ruling = judge_version(
        desk.workspace,
        desk.version(number),
        registry.bundle_of(desk.workspace, desk.version(number)),
        msgspec.structs.replace(declared_endpoint(desk.workspace, NAME), gate=gate.spec),
        keep=False,
    )
    return [(one.result, one.found) for one in ruling.outcomes if "champion" in one.check]


COMPARED = sw.Gate(sw.metric("auc").not_worse_than("champion", margin=0.1), sw.latency(times_champion=9))


def test_a_damaged_champion_closes_the_gate_with_a_sentence(desk: Desk) -> None:
    champion(desk, FIRST)
    own, other = (registry.bundle_of(desk.workspace, desk.version(number)) for number in (BETTER, FIRST))
    _damage(desk, next(digest for digest in _model_files(other) if digest not in _model_files(own)))
    found = told(desk, BETTER, COMPARED)
    assert [result for result, _ in found] == ["cannot tell", "cannot tell"]
    assert all("damaged" in why for _, why in found)
    assert collected(desk, BETTER, COMPARED.spec)["loads"][0].values["holds"] is True


def test_a_champion_that_points_at_nothing_loadable_closes_the_gate_with_a_sentence(desk: Desk) -> None:
    assert {result for result, _ in told(desk, BETTER, COMPARED)} == {"not applicable"}
    champion(desk, FIRST)
    with desk.workspace.ledger.write() as tx:
        first = desk.version(FIRST)
        entries.put(tx, msgspec.structs.replace(first, bundle="", manifest="", signature=""))
    found = told(desk, BETTER, COMPARED)
    assert {result for result, _ in found} == {"cannot tell"}
    assert found[0][1] == "The champion small-delays 1 has no bundle, so that it cannot be asked"
    with desk.workspace.ledger.write() as tx:
        tx.remove("model", first.id)
    found = told(desk, BETTER, COMPARED)
    assert {result for result, _ in found} == {"cannot tell"}
    assert found[0][1] == "The model 'small-delays' has no alias 'champion'"


def test_what_raises_while_it_is_collected_closes_its_own_check_and_names_itself(desk: Desk) -> None:
    version = desk.version(FIRST)
    certificate = registry.bundle_of(desk.workspace, version).certificate
    assert certificate is not None
    odd = msgspec.structs.replace(certificate, paths=None)
    gate = sw.Gate(sw.no_skew(), sw.environment_resolves()).spec
    found = collected(desk, FIRST, gate, certificate=odd)
    assert found["no_skew"][0].values["untold"].startswith("collecting it raised TypeError")
    assert found["environment"][0].values["differing"] == []


def test_a_damaged_candidate_is_evidence_against_it(desk: Desk) -> None:
    _damage(desk, _model_files(registry.bundle_of(desk.workspace, desk.version(FIRST)))[0])
    found = collected(desk, FIRST)
    assert found["signature"][0].values["holds"] is False
    assert "damaged" in found["signature"][0].note


def _model_files(bundle: Bundle) -> list[str]:
    return [file.digest for file in bundle.files if file.path.startswith("model/")]


def _damage(desk: Desk, digest: str) -> None:
    path = desk.workspace.root / "blobs" / digest[:2] / digest[2:]
    path.chmod(0o644)
    path.write_bytes(path.read_bytes()[:-1] + b"?")


def test_a_bundle_knows_its_evaluated_rows_by_digest_and_does_not_carry_them(desk: Desk) -> None:
    bundle = registry.bundle_of(desk.workspace, desk.version(FIRST))
    assert bundle.label == "late"
    rows = evaluated_rows(desk.workspace.blobs.get(bundle.evaluated))
    assert {"flight_id", "asked_at", "late", SCORED} <= set(rows.columns)
    assert bundle.evaluated not in {file.digest for file in bundle.files}


WATCHING = sw.Gate(sw.no_finding()).spec


def test_what_was_found_while_it_trained_speaks_against_a_model(desk: Desk) -> None:
    def trained(*values: float, watch: bool = True) -> str:
        with tracking.start(desk.workspace, "trained") as run:
            if watch:
                run.watch("loss")
            for step, value in enumerate(values):
                run.log_metric("loss", value, step)
        return run.id

    for run_id, holds in ((trained(1.0, 0.5), True), (trained(1.0, math.nan), False)):
        (proof,) = collected(desk, FIRST, WATCHING, run_id=run_id)["no_finding"]
        assert proof.values["holds"] is holds
        assert ("loss is nan" in proof.note) is not holds
    assert "no_finding" not in collected(desk, FIRST, WATCHING, run_id=trained(1.0, watch=False)), "nobody looked"
    assert "no_finding" not in collected(desk, FIRST, WATCHING, run_id="f" * 32)
    assert "no_finding" not in collected(desk, FIRST, FLOOR, run_id=trained(1.0))


def test_a_reproduction_counts_for_the_bundle_that_it_names_and_as_it_was_signed(desk: Desk) -> None:
    gate = sw.Gate(sw.reproduced()).spec
    first, other = desk.version(FIRST), desk.version(BETTER)
    assert "reproduced" not in collected(desk, FIRST, gate)
    made = Reproduction(
        id="r-1", project=desk.workspace.project, name="release", created_at=desk.workspace.clock.now(), parent_id="r",
        number=1, verdict="equal", sentence="All is equal.", bundle=first.bundle, actor=desk.workspace.actor,
    )  # fmt: skip
    with desk.workspace.ledger.write() as tx:
        entries.put(tx, signed(made, desk.workspace.signer))
        for bundle in (first.bundle, other.bundle):  # a link is no proof
            lineage.link(tx, f"bundle:{bundle}", "reproduction:r-1", "reproduced")
    (found,) = collected(desk, FIRST, gate)["reproduced"]
    assert found.values == {"verdict": "equal", "id": "r-1"}
    assert "reproduced" not in collected(desk, BETTER, gate)
    assert "reproduced" not in collected(desk, FIRST, FLOOR)
    with desk.workspace.ledger.write() as tx:
        entries.put(tx, made)
    (found,) = collected(desk, FIRST, gate)["reproduced"]
    assert found.values["verdict"] == "altered"
