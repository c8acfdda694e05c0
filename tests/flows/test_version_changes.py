"""What moved between two versions of a model: each part by itself, by the names of what changed inside it."""

import msgspec
import pytest
from click.testing import CliRunner
from small_desk import BETTER, FIRST, NAME, Desk

from slipway.cli import main
from slipway.errors import NotFound
from slipway.flows.version_changes import diff_versions
from slipway.ids import new_model_id
from slipway.ledger import entries
from slipway.models import registry
from slipway.models.manifest import bundle_digest, encode_manifest
from slipway.operations.models import DiffVersions, VersionsDiff
from slipway.records.features import Scalar, Windows
from slipway.records.models import Bundle, BundleFile, ModelVersion
from slipway.records.schema import Field


def _diff(desk: Desk, before: str, target: str) -> VersionsDiff:
    return diff_versions(desk.workspace, DiffVersions(target=target, before=before))


def _moved(desk: Desk, **changes: object) -> dict[str, tuple[str, ...]]:
    """What moved from the first version to one whose bundle is the first's with some of it changed."""
    bundle = msgspec.structs.replace(registry.bundle_of(desk.workspace, desk.version(FIRST)), **changes)
    first, number = desk.version(FIRST), 1 + max(one.number for one in _versions(desk))
    made = msgspec.structs.replace(
        first,
        id=new_model_id(),
        number=number,
        bundle=bundle_digest(bundle),
        manifest=desk.workspace.blobs.put(encode_manifest(bundle)),
    )
    with desk.workspace.ledger.write() as tx:
        entries.put(tx, made, expect=0)
    found = _diff(desk, f"{NAME}:{FIRST}", f"{NAME}:{number}")
    assert {one.part for one in found.moved}.isdisjoint(found.same)
    return {one.part: one.changes for one in found.moved}


def _versions(desk: Desk) -> list[ModelVersion]:
    with desk.workspace.ledger.read() as tx:
        return entries.find(tx, ModelVersion, project=desk.workspace.project, name=NAME)


def _first(desk: Desk) -> Bundle:
    return registry.bundle_of(desk.workspace, desk.version(FIRST))


def test_more_rounds_move_the_parameter_the_model_and_the_metrics(desk: Desk) -> None:
    found = _diff(desk, f"{NAME}:{FIRST}", f"{NAME}:{BETTER}")
    moved = {one.part: one.changes for one in found.moved}
    assert moved["training"] == ("parameter rounds 8 -> 15",)
    assert {"compiled.bin is another", "model/model.txt is another"} <= set(moved["model"])
    old, new = ({m.metric: m.value for m in registry.bundle_of(desk.workspace, desk.version(n)).metrics if not m.slice} for n in (FIRST, BETTER))  # fmt: skip
    assert f"auc {old['auc']:.6g} -> {new['auc']:.6g} ({new['auc'] - old['auc']:+.4g})" in moved["metrics"]
    assert {"data", "features", "lock", "signature"} <= set(found.same)
    assert diff_versions(desk.workspace, DiffVersions(target=f"{NAME}:{BETTER}")) == found


def test_nothing_moved_where_both_are_one_and_the_version_that_serves_is_found(desk: Desk) -> None:
    still = desk.without_processes()
    still.approve(FIRST)
    still.deploy(FIRST)
    found = _diff(desk, f"{NAME}:{FIRST}", f"endpoint:{NAME}")
    assert (found.moved, found.after.number) == ((), FIRST)
    assert "model" in found.same
    with pytest.raises(NotFound, match="before version 1"):
        diff_versions(desk.workspace, DiffVersions(target=f"{NAME}:{FIRST}"))


def test_the_feature_and_the_helper_that_changed_are_named(desk: Desk) -> None:
    bundle = _first(desk)
    assert bundle.features is not None
    (path,) = {file.path for file in bundle.files if file.path.startswith("code/") and "small_delays" in file.path}
    (file,) = [file for file in bundle.files if file.path == path]
    source = desk.workspace.blobs.get(file.digest).decode()
    commented = source + "\n# a comment changes nothing\n"
    assert _replaced(desk, bundle, file, commented) == {}
    changed = source.replace("return departure.hour", "return departure.hour + SHIFT") + "\nSHIFT = 1\n"
    data = desk.workspace.blobs.put(changed.encode())
    parts = tuple(_part(part) for part in bundle.features.parts)
    moved = _moved(
        desk,
        features=msgspec.structs.replace(bundle.features, parts=parts),
        files=_with(bundle, file, data),
    )
    assert set(moved) == {"features"}
    assert moved["features"] == (
        "windows origin: delay_6h width 6 hours -> 1 day",
        "function hour is another",
        "small_delays.hour is another",
        "small_delays.SHIFT is new",
    )


def test_the_library_the_table_and_the_input_that_changed_are_named(desk: Desk) -> None:
    bundle = _first(desk)
    assert bundle.environment is not None
    lock = tuple(line for line in bundle.environment.lock if not line.startswith("lightgbm=="))
    environment = msgspec.structs.replace(bundle.environment, imports="", lock=("lightgbm==1.2.3", "zoo==1", *lock))
    assert _moved(desk, environment=environment)["lock"][:2] == (
        next(f"lightgbm {line[10:]} -> 1.2.3" for line in bundle.environment.lock if line.startswith("lightgbm==")),
        "zoo (absent) -> 1",
    )
    (flights,) = [node for node in bundle.data if "/flights@" in node]
    others = [node for node in bundle.data if node != flights]
    assert _moved(desk, data=(*others, flights.partition("@")[0] + "@" + "0" * 64)) == {
        "data": ("flights: version 1 (3,360 rows) -> version 000000000000",)
    }
    inputs = bundle.signature.inputs
    changed = msgspec.structs.replace(
        bundle.signature,
        inputs=(*inputs[1:-1], msgspec.structs.replace(inputs[-1], type="string"), Field("gust", "float")),
    )
    assert _moved(desk, signature=changed) == {
        "signature": (
            f"input {inputs[0].name} is gone",
            f"input {inputs[-1].name} {inputs[-1].type} -> string",
            "input gust is new",
        )
    }


def _part(part: object) -> object:
    if isinstance(part, Scalar):
        return msgspec.structs.replace(part, definition="another")
    if isinstance(part, Windows):
        first, *rest = part.aggregates
        return msgspec.structs.replace(
            part, aggregates=(msgspec.structs.replace(first, width_us=86_400_000_000), *rest)
        )
    return part


def _with(bundle: Bundle, file: BundleFile, digest: str) -> tuple[BundleFile, ...]:
    return tuple(msgspec.structs.replace(one, digest=digest) if one == file else one for one in bundle.files)


def _replaced(desk: Desk, bundle: Bundle, file: BundleFile, source: str) -> dict[str, tuple[str, ...]]:
    return _moved(desk, files=_with(bundle, file, desk.workspace.blobs.put(source.encode())))


def test_the_command_says_a_line_a_part_and_nothing_moved_of_equals(desk: Desk) -> None:
    def said(*words: str) -> str:
        where = ("--root", str(desk.workspace.root), "--project", desk.workspace.project)
        answer = CliRunner().invoke(main, ["diff", *words, *where])
        assert answer.exit_code == 0, answer.output
        return answer.output

    lines = said(f"{NAME}:{FIRST}", f"{NAME}:{BETTER}").splitlines()
    assert lines[0] == f"{NAME} 1 -> {NAME} 2"
    assert "training  parameter rounds 8 -> 15" in lines
    assert lines[-1] == "The same: data, features, lock, signature."
    assert said(f"{NAME}:{BETTER}").splitlines() == lines
    assert "nothing moved" in said(f"{NAME}:{FIRST}", f"{NAME}:{FIRST}")
