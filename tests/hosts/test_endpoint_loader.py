"""Two bundles behind one endpoint, loaded in this process."""

from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import endpoint_folder as ef
import msgspec
import pytest

from slipway.errors import Corrupt
from slipway.features.windows import sum_, windows
from slipway.hosts.endpoint import open_signer
from slipway.hosts.endpoint_loader import Loader
from slipway.ports.workspace import Workspace
from slipway.records.endpoints import Challenger, Revision, Served
from slipway.records.features import Windows
from slipway.records.schema import Field
from slipway.serving.counters import Counters
from slipway.serving.swap import Swap


@pytest.fixture
def folder(workspace: Workspace) -> Path:
    return ef.folder_of(workspace)


@pytest.fixture
def loader(folder: Path, workspace: Workspace) -> Iterator[Loader]:
    made = Loader(folder, open_signer(folder))
    yield made
    made.close()


def test_a_challenger_with_the_same_inputs_takes_the_champions_rows(workspace: Workspace, loader: Loader) -> None:
    active = loader.load(ef.challenged(workspace, ef.deploy_plain(workspace), 2, 0.1))
    assert active.challenger is not None
    assert (active.challenger.resolve, active.challenger.threshold) == (None, None)
    assert active.challenger.plan.fraction == 0.1
    rows = active.resolve([["UA1", 40.0, 30.0]], ef.NOW)
    assert active.predict(rows) == pytest.approx([0.07])
    assert active.challenger.predict(rows) == pytest.approx([0.7])


def test_a_challenger_with_other_inputs_has_its_own(workspace: Workspace, loader: Loader) -> None:
    other = ef.a_model([Field("b", "float")])
    active = loader.load(ef.challenged(workspace, ef.deploy_plain(workspace), 2, model=other))
    assert active.challenger is not None
    assert active.challenger.resolve is not None
    rows = active.challenger.resolve([["UA1", 40.0, 30.0]], ef.NOW)
    assert [list(row) for row in rows] == [[40.0]]
    assert active.challenger.predict(rows) == pytest.approx([0.04])


def replaced(workspace: Workspace, champion: Revision, number: int, **changes: Any) -> Revision:
    return msgspec.structs.replace(champion, id=f"{workspace.project}/delays/{number}", number=number, **changes)


def test_a_step_a_promotion_and_a_stop_load_nothing(workspace: Workspace, folder: Path, loader: Loader) -> None:
    first = ef.deploy_plain(workspace)
    shadow = ef.challenged(workspace, first, 2)
    one, two = loader.load(first), loader.load(shadow)
    for digest in (first.served.bundle, shadow.challenger.served.bundle):  # type: ignore[union-attr]
        (folder / "bundles" / digest).rename(folder / f"{digest}.away")
    three = loader.load(ef.challenged(workspace, replaced(workspace, first, 1), 3, 0.5))
    assert one.predict.__self__ is two.predict.__self__ is three.predict.__self__  # type: ignore[attr-defined]
    assert two.challenger is not None
    assert shadow.challenger is not None
    promoted = loader.load(replaced(workspace, shadow, 4, served=shadow.challenger.served, challenger=None))
    assert promoted.predict.__self__ is two.challenger.predict.__self__  # type: ignore[attr-defined]
    assert promoted.challenger is None
    (folder / f"{first.served.bundle}.away").rename(folder / "bundles" / first.served.bundle)
    again = loader.load(replaced(workspace, first, 5))  # what nothing names any more is not kept
    assert again.predict.__self__ is not one.predict.__self__  # type: ignore[attr-defined]


def test_a_challenger_that_cannot_be_loaded_refuses_the_revision_and_the_old_one_serves(
    workspace: Workspace, folder: Path, loader: Loader
) -> None:
    first = ef.deploy_plain(workspace)
    swap = Swap(folder, open_signer(folder), loader.load, Counters())
    swap.load_first()
    plan = Challenger(served=Served(model="delays", number=2, bundle="f" * 64), rollout_id="r1")
    ef.publish(folder, replaced(workspace, first, 2, challenger=plan), workspace.signer)
    assert not swap.look()
    assert (swap.number, swap.refused) == (1, 2)
    assert "Revision 1 goes on serving." in swap.note
    lacking = ef.challenged(workspace, first, 3, model=ef.a_model([Field("c", "float")]))
    assert not swap.look()
    assert "needs 'c'" in swap.note
    with pytest.raises(Corrupt, match="needs 'c'"):
        loader.load(lacking)
    ef.challenged(workspace, first, 4)
    assert swap.look()


def test_equal_features_are_shared_though_trained_at_another_time(
    workspace: Workspace, loader: Loader, tmp_path: Path
) -> None:
    champion = ef.deploy_with_features(workspace, tmp_path)
    spec, sources = ef.features_of(tmp_path)
    seen_null = tuple(msgspec.structs.replace(field, nullable=True) for field in spec.request)
    retrained = msgspec.structs.replace(spec, request=seen_null, definition="of another training")
    digest = ef.bring(workspace, ef.a_model(list(spec.features), scale=2), spec=retrained, sources=sources)
    plan = Challenger(served=Served(model="delays", number=2, bundle=digest), rollout_id="r1")
    active = loader.load(replaced(workspace, champion, 2, challenger=plan))
    assert active.challenger is not None
    assert active.challenger.resolve is None


def test_pushed_rows_feed_what_only_the_challenger_reads_and_are_never_refused_for_it(
    workspace: Workspace, loader: Loader, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    champion = ef.deploy_with_features(workspace, tmp_path)
    more = windows("flights", time="known_at", by={"sum": ["origin"]}, delay=sum_("arr_delay", "6h"))
    spec, sources = ef.features_of(tmp_path, more)
    assert sum(isinstance(part, Windows) for part in spec.parts) == 2
    digest = ef.bring(workspace, ef.a_model(list(spec.features)), spec=spec, sources=sources)
    plan = Challenger(served=Served(model="delays", number=2, bundle=digest), rollout_id="r1")
    active = loader.load(replaced(workspace, champion, 2, challenger=plan))
    events = [{**row, "known_at": row["known_at"].isoformat()} for row in ef.EVENTS.to_dicts()]
    active.sources["flights"](events)
    assert active.receive("flights", events).changed >= 2
    assert active.receive("flights", events).changed == 0
    names = [field.name for field in active.revision.contract.fields]
    given = {"flight_id": "F3", "origin": "JFK", "distance": 5.0, "departure": datetime(2013, 4, 1, 3, tzinfo=UTC)}
    row = [given[name] for name in names]
    assert active.challenger is not None
    assert active.challenger.resolve is not None
    assert list(active.resolve([row], ef.NOW)[0]) == [15.0, 2, None, True, 5.0]
    assert list(active.challenger.resolve([row], ef.NOW)[0]) == [15.0, 2, None, True, 5.0, 3.0]
    assert caplog.text == ""
    lacking = [{name: value for name, value in row.items() if name != "arr_delay"} for row in events]
    active.sources["flights"](lacking)
    assert active.receive("flights", [{**row, "flight_id": "F9"} for row in lacking]).changed == 2
    assert "The challenger's features miss rows of flights" in caplog.text


def test_a_bundle_whose_sample_was_erased_answers_and_the_log_says_so(
    workspace: Workspace, folder: Path, loader: Loader, caplog: pytest.LogCaptureFixture
) -> None:
    revision = ef.deploy_plain(workspace)
    (folder / "bundles" / revision.served.bundle / "sample.json").unlink()
    active = loader.load(revision)
    assert active.predict(active.resolve([["UA1", 40.0, 30.0]], ef.NOW)) == pytest.approx([0.07])
    assert "The model delays is served without its self-check: the reference sample was erased" in caplog.text
