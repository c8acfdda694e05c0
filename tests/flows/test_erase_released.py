"""Erasing from a project that has released models: what they were trained and judged on, and their bundles."""

import io

import polars as pl
from small_desk import NAME, Desk

from slipway.flows.erase import erase
from slipway.models import registry
from slipway.models.bundle import decode_manifest
from slipway.operations.erasures import Erase
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


def test_a_bundle_whose_sample_names_the_person_is_told_and_not_altered(desk: Desk) -> None:
    workspace = desk.workspace
    versions.overwrite(workspace, "airports", pl.DataFrame({"origin": ["JFK", "EWR"]}), key=("origin",))
    before = registry.get(workspace, NAME, 1)
    counted = erase(workspace, Erase(where=(("origin", "JFK"),), dry_run=True))
    told = [line for line in counted.kept if line.startswith(f"The signed bundle of {NAME} 1 holds ")]
    assert len(told) == 1
    assert "a bundle is never altered" in told[0]
    assert registry.get(workspace, NAME, 1) == before
