"""Erasing from a project that has released models: what they were trained and judged on, and their bundles."""

import dataclasses
import io
import shutil
import signal
import subprocess
import sys
import textwrap
from pathlib import Path

import msgspec
import polars as pl
import pytest
from model_flights import lightgbm_model
from small_desk import BETTER, FIRST, NAME, Desk

import slipway as sw
from slipway.flows.deploy import deploy
from slipway.flows.erase import erase
from slipway.flows.simulation_scores import loaded_versions
from slipway.ledger import artifacts, entries
from slipway.models import bundle as bundles
from slipway.models import registry
from slipway.models.manifest import decode_manifest, encode_manifest
from slipway.models.model import Model
from slipway.models.packing import pack
from slipway.operations.endpoints import Deploy
from slipway.operations.erasures import Erase
from slipway.ports.workspace import Workspace
from slipway.records.runs import Run
from slipway.tables import versions


def holding(desk: Desk, text: str) -> list[str]:
    found = []
    for path in desk.workspace.root.rglob("*"):
        if not path.is_file() or path.name.startswith("ledger.db"):
            continue
        data = path.read_bytes()
        at = data.find(b"PAR1")  # alone, or inside a model's archive
        if at >= 0:
            try:
                frame = pl.read_parquet(io.BytesIO(data[at : data.rfind(b"PAR1") + 4]))
            except pl.exceptions.PolarsError:
                frame = pl.DataFrame()
            names = [n for n, dtype in frame.schema.items() if dtype == pl.String]
            if any((frame[name] == text).any() for name in names):
                found.append(str(path.relative_to(desk.workspace.root)))
        elif f'"{text}"'.encode() in data:
            found.append(str(path.relative_to(desk.workspace.root)))
    return found


def test_a_row_leaves_what_models_were_trained_and_judged_on(desk: Desk) -> None:
    workspace = desk.workspace
    bundle = decode_manifest(workspace.blobs.get(registry.get(workspace, NAME, 1).manifest))
    judged = pl.read_parquet(io.BytesIO(workspace.blobs.get(bundle.evaluated)))
    theirs = judged["flight_id"][0]
    before = holding(desk, theirs)
    counted = erase(workspace, Erase(table="flights", key=(theirs,), dry_run=True))
    report = erase(workspace, Erase(table="flights", key=(theirs,), reason="request 17"))
    assert report.left == 0
    assert holding(desk, theirs) == []
    assert {place.place for place in counted.places} == {place.place for place in report.places}
    assert len(before) > 1, "the table, and what was made from it"
    places = {place.place for place in report.places}
    assert {"table flights", "stored results of steps", f"rows that {NAME} 1 was evaluated on"} <= places
    for number in (1, 2, 3):
        version = registry.get(workspace, NAME, number)
        assert workspace.blobs.has(version.manifest), "bundles are never altered"


AIRPORT = Erase(where=(("origin", "JFK"),), reason="request 17")
"""As if the airport were a person: rows of it are in every sample."""


@pytest.fixture
def airports(desk: Desk) -> Desk:
    versions.overwrite(desk.workspace, "airports", pl.DataFrame({"origin": ["JFK", "EWR"]}), key=("origin",))
    return desk


def samples(desk: Desk) -> list[str]:
    """The digests of the samples that the manifests of the three versions name."""
    bundles_ = [registry.bundle_of(desk.workspace, desk.version(number)) for number in (1, 2, 3)]
    return [file.digest for bundle in bundles_ for file in bundle.files if file.path == bundles.SAMPLE]


def test_a_reference_sample_goes_wherever_it_lies_and_the_bundle_stays_as_it_was_signed(airports: Desk) -> None:
    desk = airports.without_processes()
    workspace = desk.workspace
    desk.approve(FIRST)
    desk.deploy(FIRST)
    home = desk.folder / "bundles" / desk.version(FIRST).bundle
    killed = desk.folder / "bundles" / f".{desk.version(BETTER).bundle}.part"
    killed.mkdir()
    (killed / "sample.json").write_bytes((home / "sample.json").read_bytes()[:300])
    before = [desk.version(number) for number in (1, 2, 3)]
    manifests = [workspace.blobs.get(one.manifest) for one in before]
    counted = erase(workspace, msgspec.structs.replace(AIRPORT, dry_run=True))
    assert (home / "sample.json").exists(), "a dry run erases nothing"
    assert all(map(workspace.blobs.has, samples(desk)))
    report = erase(workspace, AIRPORT)
    assert report.left == 0
    assert [p for p in counted.places if "sample" in p.place] == [p for p in report.places if "sample" in p.place]
    found = {place.place: (place.rows > 0, place.files) for place in report.places if "sample" in place.place}
    assert found == {
        f"reference sample of {NAME} 1": (True, 2),
        f"reference sample of {NAME} 2": (True, 2),
        f"reference sample of {NAME} 3": (True, 1),
    }
    assert not any("sample" in line or "bundle" in line for line in report.kept)
    assert not any(map(workspace.blobs.has, samples(desk)))
    assert list(workspace.root.rglob("sample.json")) == []
    assert [desk.version(number) for number in (1, 2, 3)] == before
    assert [workspace.blobs.get(one.manifest) for one in before] == manifests
    assert bundles.verify(home, expect=before[0].bundle, signer=workspace.signer).model == NAME


def test_without_its_sample_a_version_is_judged_deployed_measured_and_simulated(
    airports: Desk, said: list[str]
) -> None:
    desk = airports.without_processes()
    workspace = dataclasses.replace(desk.workspace, say=said.append)
    assert erase(workspace, AIRPORT).left == 0
    desk.approve(FIRST, BETTER)
    desk.declare(gate=sw.Gate(sw.metric("auc") >= 0.55))
    first = deploy(workspace, Deploy(model=NAME, version="1"))
    assert f"{NAME} 1 is deployed without its self-check: {bundles.NO_SAMPLE}." in said
    (loads,) = [one for one in first.verdict.outcomes if one.check == "the bundle loads and answers its sample"]
    assert (loads.result, loads.found) == ("passed", f"loaded here: {bundles.NO_SAMPLE}")
    deploy(workspace, Deploy(model=NAME, version="2"))
    home = desk.folder / "bundles" / desk.version(BETTER).bundle
    shutil.rmtree(home)
    deploy(workspace, Deploy(model=NAME, version="2"))
    assert bundles.verify(home, expect=desk.version(BETTER).bundle, signer=workspace.signer)
    with loaded_versions(workspace, NAME, {1, 2}) as loaded:
        assert [loaded[number].cases() for number in (1, 2)] == [None, None]


def test_a_copy_that_comes_back_is_found_when_it_is_asked_again(airports: Desk) -> None:
    desk = airports.without_processes()
    desk.approve(FIRST)
    desk.deploy(FIRST)
    sample = desk.folder / "bundles" / desk.version(FIRST).bundle / "sample.json"
    kept = sample.read_bytes()
    assert erase(desk.workspace, AIRPORT).left == 0
    for data in (kept, kept[:500]):  # whole, and half of it
        sample.write_bytes(data)
        again = erase(desk.workspace, AIRPORT)
        assert [(p.place, p.files) for p in again.places if "sample" in p.place] == [
            (f"reference sample of {NAME} 1", 1)
        ]
        assert (again.left, sample.exists()) == (0, False)


@pytest.mark.parametrize("dies", ["before the first copy", "before the first blob", "after the first blob"])
def test_a_kill_among_the_samples_is_made_good_by_asking_again(airports: Desk, dies: str) -> None:
    desk = airports.without_processes()
    desk.approve(FIRST)
    desk.deploy(FIRST)
    script = textwrap.dedent(
        f"""
        import os, signal
        from pathlib import Path
        from slipway.backends.local_blobs import LocalBlobs
        from slipway.hosts.project import open_workspace
        from slipway.flows.erase_bundles import erase_bundles
        from slipway.flows.erase_person import Target

        def die(*args, **more):
            os.kill(os.getpid(), signal.SIGKILL)

        if {dies!r} == "before the first copy":
            Path.unlink = die
        inner = LocalBlobs.delete
        def dying(blobs, digest):
            if {dies!r} == "after the first blob":
                inner(blobs, digest)
            die()
        LocalBlobs.delete = dying
        workspace = open_workspace(Path({str(desk.workspace.root)!r}), project={desk.workspace.project!r}, environment="dev")
        erase_bundles(workspace, Target(columns={{"origin": "JFK"}}), dry_run=False)
        """
    )
    done = subprocess.run([sys.executable, "-c", script], check=False, capture_output=True)
    assert done.returncode == -signal.SIGKILL, done.stderr.decode()
    assert erase(desk.workspace, AIRPORT).left == 0
    assert not any(map(desk.workspace.blobs.has, samples(desk)))
    assert list(desk.workspace.root.rglob("sample.json")) == []


def test_bundles_that_share_a_sample_lose_it_together(workspace: Workspace, tmp_path: Path) -> None:
    for name in ("delays", "again"):
        packed = pack(workspace, lightgbm_model(), name=name)
        registry.register(workspace, packed)
    elsewhere = workspace.root / "endpoints" / "mail" / "scores" / "bundles" / packed.digest
    bundles.unpack(workspace, packed.manifest, elsewhere, signature=packed.signature)
    versions.overwrite(workspace, "carriers", pl.DataFrame({"carrier": ["UA", "AA"]}), key=("carrier",))
    report = erase(workspace, Erase(where=(("carrier", "UA"),), reason="request 17"))
    assert report.left == 0
    places = {place.place: place.files for place in report.places if "sample" in place.place}
    assert places == {"reference sample of delays 1": 2, "reference sample of again 1": 2}
    assert not (elsewhere / "sample.json").exists()
    assert bundles.load(elsewhere, signer=workspace.signer).check_sample().is_erased


def test_a_sample_of_an_earlier_slipway_is_told_and_the_rest_goes_on(workspace: Workspace) -> None:
    packed = pack(workspace, lightgbm_model(), name="delays")
    judged = io.BytesIO()
    pl.DataFrame({"carrier": ["UA"]}).write_parquet(judged)
    old = workspace.blobs.put(b'{"layout":[],"cases":[]}')
    files = [
        msgspec.structs.replace(file, digest=old if file.path == bundles.SAMPLE else file.digest)
        for file in packed.bundle.files
    ]
    evaluated = workspace.blobs.put(judged.getvalue())
    bundle = msgspec.structs.replace(packed.bundle, files=tuple(files), evaluated=evaluated)
    manifest = workspace.blobs.put(encode_manifest(bundle))
    registry.register(workspace, dataclasses.replace(packed, manifest=manifest))
    versions.overwrite(workspace, "carriers", pl.DataFrame({"carrier": ["UA", "AA"]}), key=("carrier",))
    report = erase(workspace, Erase(where=(("carrier", "UA"),), reason="request 17"))
    assert report.kept == (
        "The reference sample of delays 1 was not looked into: It was packed by an earlier Slipway, or its sample.json "
        "is damaged.",
    )
    assert (report.left, workspace.blobs.has(evaluated), workspace.blobs.has(old)) == (0, False, True)


def test_a_sample_without_the_person_stays(airports: Desk) -> None:
    workspace = airports.workspace
    versions.overwrite(workspace, "airports", pl.DataFrame({"origin": ["LGA"]}), key=("origin",))
    report = erase(workspace, Erase(where=(("origin", "LGA"),), reason="request 17"))
    assert (report.left, all(map(workspace.blobs.has, samples(airports)))) == (0, True)


def test_a_kept_model_loses_the_rows_that_it_is_checked_by(airports: Desk) -> None:
    workspace = airports.workspace

    def kept() -> list[Model]:
        with workspace.ledger.read() as tx:
            runs = entries.find(tx, Run, project=workspace.project, limit=100)
        found = [one for run in runs for one in run.artifacts if one.format == Model.slipway_format]
        return [artifacts.load(workspace.blobs, [one]) for one in found]

    before = kept()
    assert before
    assert all(any("JFK" in case.row for case in model.state.cases) for model in before)
    assert erase(workspace, AIRPORT).left == 0
    for was, model in zip(before, kept(), strict=True):
        assert not any("JFK" in case.row for case in model.state.cases)
        left = [c for c in was.state.cases if not c.column and "JFK" not in c.row]
        assert list(model.state.cases) == left
        assert left
        packed = pack(workspace, model, name="again")
        assert packed.bundle.parity.startswith(f"{len(left)} training rows and 0 edge cases answered")
        model.state = msgspec.structs.replace(model.state, cases=())
        assert pack(workspace, model, name="bare").bundle.parity.startswith("No answer was compared")


@pytest.mark.full
def test_an_endpoint_serves_on_and_starts_again_without_its_sample(airports: Desk) -> None:
    airports.approve(FIRST)
    first = airports.ask(airports.deploy(FIRST))
    assert erase(airports.workspace, AIRPORT).left == 0
    airports.workspace.launcher.stop(airports.folder)
    again = airports.deploy(FIRST)
    assert airports.ask(again, origin="EWR")["version"] == 1
    assert bundles.NO_SAMPLE in (airports.folder / "front.log").read_text()
    assert first["version"] == 1
