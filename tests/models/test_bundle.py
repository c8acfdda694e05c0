"""Bundles: whole, signed, proven equal, and loadable with nothing else."""

import json
import os
import subprocess
import sys
from pathlib import Path

import msgspec
import numpy as np
import pandas as pd
import pytest
from model_flights import labels, lightgbm_model, pandas_rows, pipeline
from sklearn.linear_model import LogisticRegression

from slipway.backends.ed25519_signer import Ed25519Signer
from slipway.errors import Corrupt, InvalidInput, NotFound
from slipway.hashing import digest
from slipway.models import bundle as bundles
from slipway.models.manifest import bundle_digest, decode_manifest, encode_manifest
from slipway.models.model import Model
from slipway.models.packing import Packed, pack
from slipway.ports.workspace import Workspace
from slipway.records.features import FeatureSetSpec, View
from slipway.records.models import Decision, MetricValue
from slipway.records.schema import Field


@pytest.fixture
def packed(workspace: Workspace) -> Packed:
    return pack(workspace, lightgbm_model(), name="delays", code={"features.py": "X = 1\n"}, modules=["features"])


@pytest.fixture
def folder(workspace: Workspace, packed: Packed, tmp_path: Path) -> Path:
    target = tmp_path / "unpacked"
    bundles.unpack(workspace, packed.manifest, target, signature=packed.signature, expect=packed.digest)
    return target


def test_a_bundle_holds_all_and_answers_alike(workspace: Workspace, packed: Packed, folder: Path) -> None:
    model = lightgbm_model()
    paths = {file.path for file in packed.bundle.files}
    assert {"model/model.txt", "layout.json", "sample.json", "card.md", "code/features.py"} <= paths
    assert "bit for bit" in packed.bundle.parity
    loaded = bundles.load(folder, expect=packed.digest, signer=workspace.signer)
    checked = loaded.check_sample()
    assert (checked.rows, checked.greatest, checked.is_erased) == (len(model.state.cases), 0.0, False)
    assert loaded.decision.threshold == 0.2
    cases = [case for case in model.state.cases if case.answer is not None]
    assert loaded.predict_rows([case.row for case in cases]) == [case.answer for case in cases]
    edges = {case.name for case in loaded.cases() or ()}
    assert {"carrier is null", "carrier is an unknown text", "wind is an int", "distance is far above"} <= edges


def test_the_digest_is_that_of_the_content(workspace: Workspace, packed: Packed) -> None:
    again = pack(workspace, lightgbm_model(), name="delays", code={"features.py": "X = 1\n"}, modules=["features"])
    other = pack(workspace, lightgbm_model(), name="delays", code={"features.py": "X = 2\n"}, modules=["features"])
    assert again.digest == packed.digest
    assert other.digest != packed.digest


def test_a_pipeline_in_pandas_is_proven_too(workspace: Workspace, tmp_path: Path) -> None:
    frame = pandas_rows()
    fitted = pipeline().fit(frame, labels())
    packed = pack(workspace, Model(fitted, sample=frame), name="delays")
    bundles.unpack(workspace, packed.manifest, tmp_path / "b", signature=packed.signature)
    loaded = bundles.load(tmp_path / "b", expect=packed.digest)
    rows = frame.astype(object).where(frame.notna(), None).to_numpy().tolist()
    assert np.abs(np.array(loaded.predict_rows(rows)) - fitted.predict_proba(frame)[:, 1]).max() < 1e-12
    with pytest.raises(InvalidInput, match=r"gives 'far' for 'distance'.*fitted with int64"):
        loaded.predict_rows([[*rows[0][:3], "far", *rows[0][4:]]])


@pytest.mark.parametrize("name", ["model/model.txt", "layout.json", "sample.json", "card.md", "code/features.py"])
def test_one_altered_byte_is_refused(folder: Path, packed: Packed, name: str) -> None:
    data = bytearray((folder / name).read_bytes())
    data[len(data) // 2] ^= 1
    (folder / name).write_bytes(data)
    with pytest.raises(Corrupt, match=f"'{name}' in the bundle .* is altered"):
        bundles.load(folder)


def test_missing_and_added_files_are_refused(folder: Path) -> None:
    (folder / "code" / "extra.py").write_text("import os")
    with pytest.raises(Corrupt, match=r"holds 'code/extra\.py', which its manifest does not name"):
        bundles.load(folder)
    (folder / "code" / "extra.py").unlink()
    (folder / "code" / "features.py").unlink()
    with pytest.raises(Corrupt, match=r"'code/features\.py' in the bundle .* is missing"):
        bundles.load(folder)


def test_the_sample_alone_may_be_erased_and_the_self_check_says_so(
    workspace: Workspace, packed: Packed, folder: Path, tmp_path: Path
) -> None:
    cases = [case for case in lightgbm_model().state.cases if case.answer is not None]
    blobs = {file.path: file.digest for file in packed.bundle.files}
    assert workspace.blobs.delete(blobs["sample.json"])
    (folder / "sample.json").unlink()
    target = tmp_path / "later"
    bundles.unpack(workspace, packed.manifest, target, signature=packed.signature, expect=packed.digest)
    assert not (target / "sample.json").exists()
    for place in (folder, target):
        loaded = bundles.load(place, expect=packed.digest, signer=workspace.signer)
        assert loaded.predict_rows([case.row for case in cases]) == [case.answer for case in cases]
        assert loaded.cases() is None
        checked = loaded.check_sample()
        assert (checked.is_erased, checked.rows, checked.sentence) == (True, 0, bundles.NO_SAMPLE)
    assert workspace.blobs.delete(blobs["layout.json"])
    with pytest.raises(NotFound):
        bundles.unpack(workspace, packed.manifest, tmp_path / "third", signature=packed.signature)
    (folder / "layout.json").unlink()
    with pytest.raises(Corrupt, match=r"'layout\.json' in the bundle .* is missing"):
        bundles.load(folder)


def test_a_loaded_model_keeps_no_row_of_training_in_memory(folder: Path) -> None:
    loaded = bundles.load(folder)
    assert loaded.check_sample().rows
    (folder / "sample.json").unlink()
    assert loaded.check_sample().is_erased


def test_a_bundle_of_an_earlier_slipway_says_what_to_do(workspace: Workspace, folder: Path) -> None:
    manifest = json.loads((folder / "manifest.json").read_bytes())
    manifest["files"] = [file for file in manifest["files"] if file["path"] != "layout.json"]
    (folder / "layout.json").unlink()
    (folder / "manifest.json").write_text(json.dumps(manifest))
    with pytest.raises(Corrupt, match=r"has no layout\.json.*packed by an earlier Slipway.*Train the model again"):
        bundles.load(folder)


@pytest.mark.parametrize(
    ("kind", "name"),
    [
        ("link", "code/datetime"),
        ("link", "model/other"),
        ("link", "card.md"),
        ("link", "manifest.json"),
        ("folder", "code/datetime"),
        ("folder", "code/__pycache__"),
        ("special file", "code/pipe"),
    ],
)
def test_what_the_manifest_does_not_imply_is_refused(folder: Path, tmp_path: Path, kind: str, name: str) -> None:
    evil, path = tmp_path / "evil", folder / name
    if kind == "folder":
        path.mkdir()
    elif kind == "link" and path.exists():
        path.rename(evil)  # the very bytes, but elsewhere
        path.symlink_to(evil)
    elif kind == "link":
        evil.mkdir()
        (evil / "__init__.py").write_text("raise SystemExit")
        path.symlink_to(evil)
    else:
        os.mkfifo(path)
    with pytest.raises(Corrupt, match=f"holds the {kind} '{name}'"):
        bundles.load(folder)


def test_cached_bytecode_is_refused_too(folder: Path) -> None:
    (folder / "__pycache__").mkdir()
    (folder / "__pycache__" / "features.pyc").write_bytes(b"x")
    with pytest.raises(Corrupt, match="__pycache__"):
        bundles.load(folder)


def test_an_altered_manifest_is_refused(workspace: Workspace, folder: Path, packed: Packed) -> None:
    manifest = json.loads((folder / "manifest.json").read_bytes())
    manifest["decision"]["threshold"] = 0.9
    (folder / "manifest.json").write_text(json.dumps(manifest))
    bundles.load(folder)  # the files themselves are whole
    with pytest.raises(Corrupt, match="has the digest"):
        bundles.load(folder, expect=packed.digest)
    with pytest.raises(Corrupt, match="another than the signed one"):
        bundles.load(folder, signer=workspace.signer)


def test_unsigned_and_strangers_bundles_are_refused(folder: Path, workspace: Workspace, tmp_path: Path) -> None:
    stranger = Ed25519Signer(tmp_path / "stranger")
    with pytest.raises(Corrupt):
        bundles.load(folder, signer=stranger)
    (folder / "signature.json").unlink()
    with pytest.raises(Corrupt, match="is not signed"):
        bundles.load(folder, signer=workspace.signer)


def test_a_manifest_may_not_write_outside_its_folder(workspace: Workspace, packed: Packed, tmp_path: Path) -> None:
    evil = msgspec.structs.replace(packed.bundle.files[0], path="../evil.txt")
    manifest = workspace.blobs.put(encode_manifest(msgspec.structs.replace(packed.bundle, files=(evil,))))
    with pytest.raises(Corrupt, match="lies outside of it"):
        bundles.unpack(workspace, manifest, tmp_path / "x")
    assert not (tmp_path / "evil.txt").exists()


def test_a_bundle_from_before_the_manifest_gained_a_field_still_loads(workspace: Workspace, folder: Path) -> None:
    older = json.loads((folder / "manifest.json").read_bytes())
    for gained in ("held_out_from", "evaluated", "label"):
        del older[gained]
    written = json.dumps(older).encode()
    (folder / "manifest.json").write_bytes(written)
    (folder / "signature.json").write_bytes(workspace.signer.sign(written, bundles.PAYLOAD_TYPE))
    loaded = bundles.load(folder, expect=digest(written), signer=workspace.signer)
    assert loaded.check_sample().greatest == 0.0
    assert loaded.bundle.label == ""


def test_the_order_in_which_costs_were_given_makes_no_other_bundle(packed: Packed) -> None:
    costs = {"true_positive": 1.0, "false_positive": 2.0}
    made = [
        msgspec.structs.replace(packed.bundle, decision=Decision(threshold=0.5, costs=given))
        for given in (costs, dict(reversed(costs.items())))
    ]
    assert bundle_digest(made[0]) == bundle_digest(made[1])


def test_a_manifest_keeps_figures_that_are_not_finite(packed: Packed) -> None:
    metrics = (MetricValue(metric="auc", value=float("nan"), low=float("-inf"), high=float("inf"), n=3),)
    bundle = msgspec.structs.replace(packed.bundle, metrics=metrics)
    again = decode_manifest(encode_manifest(bundle))
    assert bundle_digest(again) == bundle_digest(bundle)
    with pytest.raises(Corrupt, match="manifest cannot be read"):
        decode_manifest(b"{}")


def test_a_package_that_answers_otherwise_is_refused_by_row_and_input(workspace: Workspace) -> None:
    model = lightgbm_model()
    cases = list(model.state.cases)
    index = next(i for i, case in enumerate(cases) if case.name == "carrier is null")
    cases[index] = msgspec.structs.replace(cases[index], answer=cases[index].answer + 1e-6)
    model.state = msgspec.structs.replace(model.state, cases=tuple(cases))
    with pytest.raises(InvalidInput, match=r"not the trained one.*carrier is null \(input 'carrier'\)"):
        pack(workspace, model, name="delays")


def test_an_estimator_that_changes_on_its_way_to_disk_is_refused(workspace: Workspace) -> None:
    x = np.random.default_rng(0).normal(size=(80, 2))
    model = Model(Forgetful().fit(x, x[:, 0] > 0), sample=x, trust_pickle=True)
    with pytest.raises(InvalidInput, match=r"not the trained one.*training row 0"):
        pack(workspace, model, name="delays")


class Forgetful(LogisticRegression):
    """Loses its intercept when it is kept."""

    def __getstate__(self) -> dict[str, object]:
        return {**super().__getstate__(), "intercept_": self.intercept_ + 0.5}


def test_a_bundle_without_own_classes_carries_no_code(workspace: Workspace) -> None:
    x = np.random.default_rng(0).normal(size=(80, 2))
    pickled = Model(LogisticRegression().fit(x, x[:, 0] > 0), sample=x, trust_pickle=True)
    bundle = pack(workspace, pickled, name="delays").bundle
    assert bundle.format == "pickle"
    assert not [file.path for file in bundle.files if file.path.startswith("own/")]


def test_features_must_be_the_models_inputs(workspace: Workspace) -> None:
    features = FeatureSetSpec(name="recent", parts=(), features=(Field("wind", "float"),))
    with pytest.raises(InvalidInput, match=r"takes 'carrier', 'distance', 'wet', which the feature set 'recent'"):
        pack(workspace, lightgbm_model(), name="delays", features=features)
    with pytest.raises(InvalidInput, match="cannot be the name of a model"):
        pack(workspace, lightgbm_model(), name="My Model")


def test_a_name_that_no_request_can_carry_is_refused(workspace: Workspace) -> None:
    features = FeatureSetSpec(
        name="recent", parts=(), request=(Field('a"b', "float"),), features=lightgbm_model().signature.inputs
    )
    with pytest.raises(InvalidInput, match="cannot be the name of a request's field"):
        pack(workspace, lightgbm_model(), name="delays", features=features)
    view = View(name="v", entity=("a\\b",), entity_types=("string",), time="", ttl_us=None, fields=())
    with pytest.raises(InvalidInput, match="cannot be the name of a request's field"):
        pack(
            workspace,
            lightgbm_model(),
            name="delays",
            features=msgspec.structs.replace(features, request=(), parts=(view,)),
        )
    frame = pd.DataFrame(np.random.default_rng(0).normal(size=(80, 2)), columns=['5" gun', "b"])
    plain = Model(LogisticRegression().fit(frame, frame["b"] > 0), sample=frame)
    with pytest.raises(InvalidInput, match=r"5.*cannot be the name of a request's field"):
        pack(workspace, plain, name="delays")


def test_the_card_says_what_is_known_and_what_is_missing(folder: Path) -> None:
    card = (folder / "card.md").read_text()
    assert "### Environment (missing)\n\nWhere it was trained is not known.\n\nWhat to do: " in card
    assert "### Over all rows (missing)" in card
    assert "Yes from 0.2 on" in card


def test_loading_needs_neither_polars_nor_the_project(folder: Path) -> None:
    code = f"""
import sys
from pathlib import Path
from slipway.models.bundle import load
loaded = load(Path({str(folder)!r}))
print(loaded.predict_rows([["AA", 500, None, True]])[0], loaded.check_sample().sentence)
heavy = {{"polars", "duckdb", "sqlalchemy", "model_flights"}} & set(sys.modules)
assert not heavy, heavy
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
