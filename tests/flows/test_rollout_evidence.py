"""Rows from before a roll-out: they count only where both models would have been given the very inputs in the log."""

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta

import msgspec
import pytest
from small_desk import BETTER, FIRST, NAME, Desk

from slipway.flows.endpoints import revision_of
from slipway.ledger import entries
from slipway.loop.evidence import Replays, pairs, scored_each
from slipway.models import bundle as bundles
from slipway.models import registry
from slipway.models.manifest import encode_manifest
from slipway.records.endpoints import Served
from slipway.records.models import Bundle, ModelVersion
from slipway.records.predictions import LabelRow, PredictionRow
from slipway.records.rollouts import Rollout, RolloutSpec
from slipway.records.schema import Field
from slipway.tables.log_reader import LogReader
from slipway.tables.segments import SegmentWriter

NOW = datetime(2013, 4, 2, tzinfo=UTC)
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
GOOD = (1.0, 4, 10.0, 9, "JFK", 500)


@pytest.fixture
def served(desk: Desk) -> Desk:
    still = desk.without_processes()
    still.approve(FIRST)
    still.deploy(FIRST)
    version = still.version(BETTER)
    manifest, signature = version.manifest, version.signature
    folder = still.folder / "bundles" / version.bundle
    bundles.unpack(still.workspace, manifest, folder, signature=signature, expect=version.bundle)
    return still


def answer(desk: Desk, inputs: Sequence[Sequence[object]] = (GOOD,) * 10) -> LogReader:
    """The first version has answered some rows on the last days of March, and their labels are in."""
    revision = revision_of(desk.workspace, NAME)
    begin = (datetime(2013, 3, 30, tzinfo=UTC) - EPOCH) // timedelta(microseconds=1)
    at = [begin + 3_600_000_000 * i for i in range(len(inputs))]
    answered = [
        PredictionRow(
            id=f"{i:032}", at_us=at[i], answered_us=at[i], version=FIRST, bundle=revision.served.bundle[:16],
            key=f"F{i}", request=[None for _ in revision.contract.fields], features=list(features), score=0.5,
            revision=revision.number,
        )
        for i, features in enumerate(inputs)
    ]  # fmt: skip
    labels = [LabelRow("", f"F{i}", float(i % 2), at[i], at[i]) for i in range(len(inputs))]
    for kind, written in (("predictions", answered), ("labels", labels)):
        writer = SegmentWriter(desk.folder / "log", kind)
        writer.append(written)
        writer.close()
    reader = LogReader(desk.folder / "log")
    reader.refresh(lambda number, bundle: (revision.contract, manifest(desk, FIRST).signature))
    return reader


def manifest(desk: Desk, number: int) -> Bundle:
    return registry.bundle_of(desk.workspace, desk.version(number))


def against(desk: Desk, number: int) -> Rollout:
    challenger = desk.version(number)
    return Rollout(
        id="0" * 32, project=NAME, name=NAME, created_at=NOW, parent_id=f"{NAME}/{NAME}", state="shadow",
        champion=revision_of(desk.workspace, NAME).served, spec=RolloutSpec(), since=NOW,
        challenger=Served(model=NAME, number=number, bundle=challenger.bundle),
    )  # fmt: skip


def with_another_feature(desk: Desk, *, is_input: bool) -> int:
    """Register the second version once more, as if another feature were among its own; gives its number."""
    version, bundle = desk.version(BETTER), manifest(desk, BETTER)
    assert bundle.features is not None
    parts = bundle.features.parts[:-1] if not is_input else bundle.features.parts
    inputs = (*bundle.signature.inputs, Field("more", "float")) if is_input else bundle.signature.inputs
    other = msgspec.structs.replace(
        bundle,
        features=msgspec.structs.replace(bundle.features, parts=parts),
        signature=msgspec.structs.replace(bundle.signature, inputs=inputs),
    )
    blob = desk.workspace.blobs.put(encode_manifest(other))
    made: ModelVersion = msgspec.structs.replace(version, id=f"m-{'9' * 32}", number=9, manifest=blob)
    with desk.workspace.ledger.write() as tx:
        entries.put(tx, made)
    return 9


def test_rows_of_the_same_features_are_asked_of_both(served: Desk) -> None:
    found = pairs(served.workspace, answer(served), Replays(), against(served, BETTER))
    assert found["source"].to_list() == ["replayed"] * 10
    assert found["champion"].is_finite().all()
    assert found["challenger"].is_finite().all()


@pytest.mark.parametrize("is_input", [True, False])
def test_of_a_challenger_with_other_features_only_live_rows_tell(served: Desk, is_input: bool) -> None:
    number = with_another_feature(served, is_input=is_input)
    assert pairs(served.workspace, answer(served), Replays(), against(served, number)).is_empty()


def test_a_row_that_a_model_refuses_does_not_hold_up_the_others() -> None:
    def predict(rows: list[list[int]]) -> list[float]:
        if any(row[0] in (2, 6) for row in rows):
            raise ValueError("2 and 6 are too much for it")
        return [row[0] / 10 for row in rows]

    assert scored_each(predict, []) == []
    found = scored_each(predict, [[number] for number in range(7)])
    assert str(found) == "[0.0, 0.1, nan, 0.3, 0.4, 0.5, nan]"
