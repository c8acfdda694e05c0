"""Rows of a part and the models of a roll-out: one row that a model cannot score costs that row alone, whoever was drawn."""

from pathlib import Path
from typing import Any

import endpoint_folder as ef
import msgspec
import polars as pl
import pytest

from slipway.hosts.score_part import BESIDE, FOUND, LOGS, Job, PartTold, looked_up, score_part
from slipway.models import bundle as bundles
from slipway.ports.workspace import Workspace
from slipway.records.endpoints import BatchSpec, Revision, Served
from slipway.records.predictions import FailureRow, PredictionRow, ShadowRow
from slipway.records.schema import Field
from slipway.serving.arms import share_of
from slipway.tables.segments import read_segments

SPEC = BatchSpec(table="flights", into="scored")
HUGE, ROWS = 1e300, 60
TAKEN = [Field("a", "float"), Field("b", "float")]


class Part:
    """What scoring a part gave."""

    def __init__(self, workspace: Workspace, revision: Revision, rows: pl.DataFrame, folder: Path, **more: Any) -> None:
        home = ef.folder_of(workspace) / "bundles"
        homes = {one.bundle: str(home / one.bundle) for one in revision.versions}
        job = Job(scoring="s1", revision=revision, homes=homes, begun_at=ef.NOW, **more)
        self.rows, *segments, told = score_part(msgspec.json.encode(job), rows, 0, {})
        self.told = msgspec.json.decode(told, type=PartTold)
        for kind, segment in zip(LOGS, segments, strict=True):
            if segment:
                folder.mkdir(exist_ok=True)
                (folder / f"{kind}-1.seg").write_bytes(segment)
        self.logged = read_segments(folder, "predictions", PredictionRow)[0]
        self.shadows = read_segments(folder, "shadows", ShadowRow)[0]
        self.failures = [
            (row.arm, row.rows, row.was_covered, row.kind) for row in read_segments(folder, "failures", FailureRow)[0]
        ]


def flights(**columns: Any) -> pl.DataFrame:
    """Rows of which every third has a value on which a model that multiplies overflows."""
    a = [HUGE if place % 3 == 0 else 1.0 for place in range(ROWS)]
    return pl.DataFrame({"flight_id": [f"F{n}" for n in range(ROWS)], "b": [1.0] * ROWS, "a": a, **columns})


def arms(fraction: float) -> list[str]:
    """The arm of each row by its key."""
    drawn = [share_of(f"{ef.NAME}/2", f"F{n}") for n in range(ROWS)]
    return ["challenger" if share < fraction else "champion" for share in drawn]


@pytest.fixture
def champion(workspace: Workspace) -> Revision:
    return ef.deploy_plain(workspace, batch=SPEC)


def overflowing(workspace: Workspace, **changes: Any) -> Revision:
    return ef.deploy(workspace, ef.a_model(TAKEN, scale=1e13), ef.FIELDS, **changes)


def test_rows_that_the_challenger_cannot_score_are_the_champions(
    workspace: Workspace, champion: Revision, tmp_path: Path
) -> None:
    revision = ef.challenged(workspace, champion, 2, 0.5, model=ef.a_model(TAKEN, scale=1e13))
    part = Part(workspace, revision, flights(), tmp_path / "log")
    drawn, lost = arms(0.5), [n % 3 == 0 for n in range(ROWS)]
    covered = sum(arm == "challenger" and is_lost for arm, is_lost in zip(drawn, lost, strict=True))
    assert 5 < covered < 15
    assert part.told.refused == 0
    expected = [
        ("champion", 1.0) if arm == "challenger" and is_lost else (arm, 0.5)
        for arm, is_lost in zip(drawn, lost, strict=True)
    ]
    assert list(part.rows.select("arm", "propensity").iter_rows()) == expected
    assert [(row.arm, row.propensity) for row in part.logged] == expected
    assert part.failures == [("challenger", covered, True, "error")]
    assert part.told.by_challenger == drawn.count("challenger") - covered


@pytest.mark.parametrize(("fraction", "refused"), [(0.5, 0), (0.0, 20)])
def test_the_challenger_answers_for_the_champion_in_a_canary_and_never_unseen(
    workspace: Workspace, tmp_path: Path, fraction: float, refused: int
) -> None:
    champion = overflowing(workspace, batch=SPEC)
    revision = ef.challenged(workspace, champion, 2, fraction, model=ef.a_model(TAKEN))
    part = Part(workspace, revision, flights(), tmp_path / "log")
    lost = sum(arm == "champion" and n % 3 == 0 for n, arm in enumerate(arms(fraction)))
    assert part.told.refused == refused
    assert part.failures == [("champion", lost, fraction > 0, "error")]
    if not fraction:
        assert all(why.startswith("the model failed: ") for why in part.rows["reason"].drop_nulls())
        assert len(part.shadows) == ROWS - refused
        assert part.told.by_challenger == 0


def test_a_row_that_the_champion_refuses_is_nobodys_failure(
    workspace: Workspace, champion: Revision, tmp_path: Path
) -> None:
    revision = ef.challenged(workspace, champion, 2, 0.5)
    part = Part(workspace, revision, flights(a=[None] * 10 + [1.0] * (ROWS - 10)), tmp_path / "log")
    assert part.rows["reason"].is_not_null().to_list() == [n < 10 for n in range(ROWS)]
    assert (part.told.refused, part.failures) == (10, [])


def test_a_share_of_the_rows_is_compared_by_the_ids_of_their_predictions(
    workspace: Workspace, champion: Revision, tmp_path: Path
) -> None:
    revision = ef.challenged(workspace, champion, 2)
    assert revision.challenger is not None
    plan = msgspec.structs.replace(revision.challenger, sample=0.3)
    part = Part(workspace, msgspec.structs.replace(revision, challenger=plan), flights(a=1.0), tmp_path / "log")
    wanted = [f"s1-{n}" for n in range(ROWS) if share_of("shadow", f"s1-{n}") < 0.3]
    assert [row.prediction for row in part.shadows] == wanted
    assert 5 < len(wanted) < 35


def test_without_a_roll_out_nothing_is_logged_beside_the_answers(
    workspace: Workspace, champion: Revision, tmp_path: Path
) -> None:
    part = Part(workspace, champion, flights(a=1.0), tmp_path / "log")
    assert (part.shadows, part.failures, len(part.logged)) == ([], [], ROWS)
    assert set(part.rows["arm"]) == {"champion"}


def test_a_challenger_has_features_of_its_own(workspace: Workspace, tmp_path: Path) -> None:
    champion = ef.deploy_with_features(workspace, tmp_path, batch=SPEC)
    longer = ef.windows("flights", time="known_at", by=["origin"], arr_1d=ef.mean("arr_delay", "1d"))
    spec, sources = ef.features_of(tmp_path, longer)
    model = ef.a_model(list(spec.features))
    digest = ef.bring(workspace, model, spec=spec, sources=sources)
    alone = msgspec.structs.replace(champion, served=Served(model=ef.NAME, number=2, bundle=digest))
    home = ef.folder_of(workspace) / "bundles"
    first = bundles.load(home / champion.served.bundle, expect=champion.served.bundle, signer=workspace.signer)
    names, others = looked_up(first.bundle.features), looked_up(spec)
    assert set(others) - set(names) == {"origin_arr_1d"}
    asked = {
        field.name: ["F1", "F2", "F3"] if field.name == "flight_id" else [None] * 3
        for field in champion.contract.fields
    }
    asked |= {"distance": [100.0, 200.0, 300.0], "origin": ["JFK"] * 3, "departure": [ef.NOW] * 3}
    rows = pl.DataFrame({name: asked[name] for name in (field.name for field in champion.contract.fields)})
    ours = {name: [1.0, 2.0, 3.0] for name in names}
    theirs = {name: [4.0, 5.0, 6.0] for name in others}
    both = rows.with_columns(
        *(pl.Series(FOUND + name, values) for name, values in ours.items()),
        *(pl.Series(BESIDE + name, values) for name, values in theirs.items()),
    )
    plan = ef.Challenger(served=alone.served, fraction=0.0, rollout_id="r1")
    revision = msgspec.structs.replace(champion, challenger=plan)
    part = Part(workspace, revision, both, tmp_path / "log", looked_up=names, beside=others)
    only = rows.with_columns(pl.Series(FOUND + name, values) for name, values in theirs.items())
    of_theirs = Part(workspace, alone, only, tmp_path / "theirs", looked_up=others)
    of_ours = Part(workspace, champion, both, tmp_path / "ours", looked_up=names)
    assert (part.told.unloaded, part.told.reasons) == ("", {})
    assert part.rows["score"].to_list() == of_ours.rows["score"].to_list()
    assert [row.score for row in part.shadows] == of_theirs.rows["score"].to_list()
    assert part.rows["score"].null_count() == 0
    assert part.rows["score"].to_list() != of_theirs.rows["score"].to_list()
