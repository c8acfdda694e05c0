"""The model's page shows a promotion's people, and the replay of its experiment column by column."""

from datetime import UTC, datetime

import pytest

from filled_store import MODELS, NASTY, fill
from server_desk import Ask, asker
from slipway.ledger import entries
from slipway.ports.workspace import Workspace
from slipway.records.load import Comparison, Replay
from slipway.records.models import ModelVersion
from slipway.records.people import Actor
from slipway.records.promotions import Promotion, PromotionStage

AT = datetime(2013, 4, 1, tzinfo=UTC)
REPLAY = Replay(
    verdict="differs",
    sentence="wind is 2.0 in the training set",
    rows=500,
    of=2832,
    columns=(Comparison(column="wind", compared=500, differing=17, first=NASTY),),
)


@pytest.fixture
def ask(workspace: Workspace) -> Ask:
    fill(workspace)
    return asker(workspace)


def promoted(workspace: Workspace, *stages: PromotionStage) -> str:
    """Keep a promotion of a version that has a bundle; gives the address of its page."""
    with workspace.ledger.write() as tx:
        version = next(one for one in (entries.get(tx, ModelVersion, id) for id in MODELS) if one.bundle)
        promotion = Promotion(
            id=f"flights/test/{version.name}/1",
            project="flights",
            name=version.name,
            created_at=AT,
            number=1,
            source="dev",
            target="test",
            workflow="default",
            version=version.number,
            bundle=version.bundle,
            endpoint=version.name,
            stages=stages,
            state=stages[-1].state,
            actor=Actor("dan"),
            updated_at=AT,
        )
        entries.put(tx, promotion, expect=0)
    return f"/projects/flights/models/{version.name}/{version.number}"


def test_a_replay_is_shown_column_by_column(workspace: Workspace, ask: Ask) -> None:
    tried = PromotionStage(name="experiment", state="failed", sentence="it differs", at=AT, replay=REPLAY)
    text = ask("GET", promoted(workspace, tried)).text
    assert "Replay of training rows" in text
    assert "wind is 2.0 in the training set" in text
    assert '<tr class="bad"><td>wind</td><td class="number">500</td><td class="number">17</td>' in text
    assert NASTY not in text


def test_who_is_asked_consulted_and_told(workspace: Workspace, ask: Ask) -> None:
    gate = PromotionStage(name="gate", state="done", sentence="9 of 10", at=AT, informed=("eve",))
    waits = PromotionStage(
        name="approval",
        state="waiting",
        sentence="nobody",
        at=AT,
        asked=("grace",),
        consulted=("gov",),
        informed=("eve",),
    )
    text = ask("GET", promoted(workspace, gate, waits)).text
    assert "Asked: grace. Consulted: gov. Told: eve." in text
    assert "9 of 10 Told: eve." in text
