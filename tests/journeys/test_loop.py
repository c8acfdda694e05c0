"""The loop with everything real: an endpoint, retrainings and a control plane as processes, which are killed."""

import os
import shutil
import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, suppress
from dataclasses import replace
from itertools import cycle
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from command_line import wait_for

import slipway as sw
from looping_desk import NAME, HandControl, LoopDesk, forget, opened, prepare, replay, told, train_more, write_orders
from slipway.cli.simulate import RemoteControl
from slipway.errors import SlipwayError
from slipway.flows.approve import grant
from slipway.flows.deploy import deploy
from slipway.flows.faults import BrokenFeed, InvertedLabels, KilledControlPlane
from slipway.flows.release import declare_endpoint
from slipway.hosts.simulation import witnessed
from slipway.loop.retrain import start_by_hand
from slipway.loop.story import get_stories
from slipway.operations.endpoints import Deploy
from slipway.operations.governance import Grant
from slipway.operations.rollouts import GetStories, Reconciled, StartRetraining
from slipway.ports.runner import LOCK_FILE
from slipway.records.predictions import PredictionRow
from slipway.tables import versions
from slipway.tables.segments import read_segments

for module in ("lightgbm", "polars"):
    pytest.importorskip(module, reason=f"the loop's journeys need {module}: pip install 'slipway[demo]'")
pytestmark = pytest.mark.full

Fresh = Callable[[], AbstractContextManager[LoopDesk]]
UNTIL_PROMOTED = (0, 11.5)
STORY = ["retrain", "shadow", "canary", "canary", "promote"]


@pytest.fixture(scope="module")
def prepared(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("prepared") / "looping"
    prepare(folder)
    return folder


@pytest.fixture
def fresh(prepared: Path, tmp_path: Path) -> Fresh:
    """Opens a copy, each time another."""

    @contextmanager
    def copied() -> Iterator[LoopDesk]:
        folder = tmp_path / str(len(list(tmp_path.iterdir())))
        shutil.copytree(prepared, folder)
        with opened(folder) as found:
            yield found

    return copied


def decided(desk: LoopDesk) -> tuple[Any, ...]:
    """Everything that must be the same, whoever was killed meanwhile. A bundle's digest is not: it names its run."""
    challengers = [
        (one.challenger.served.number, one.challenger.fraction) if one.challenger else None for one in desk.revisions()
    ]
    return (
        told(desk.actions()),
        [(one.served.number, one.reason) for one in desk.revisions()],
        challengers,
        [(one.state, one.reason, [look.verdict for look in one.looks]) for one in desk.rollouts()],
        [(one.state, one.version, one.sentence, one.until) for one in desk.retrainings()],
        desk.champion,
    )


@pytest.mark.long
def test_one_seed_one_story_also_where_each_pass_has_a_process_of_its_own(fresh: Fresh) -> None:
    def story(before: Callable[[], None]) -> tuple[Any, ...]:
        with fresh() as desk:
            done = replay(desk, desk.first(), UNTIL_PROMOTED, control=HandControl(desk, before=before))
            assert done.failures == 0
            return decided(desk)

    undisturbed = story(lambda: None)
    assert [name for _, name, *_ in undisturbed[0]] == STORY
    assert story(forget) == undisturbed


def test_what_is_worse_than_the_version_before_is_taken_back_by_the_endpoint_that_serves_it(
    prepared: Path, tmp_path: Path
) -> None:
    folder = tmp_path / "taught"
    shutil.copytree(prepared, folder)
    train_more(folder)
    with opened(folder) as desk:
        first = desk.first()
        again = sw.Retrain(desk.project.module().release, when=[sw.degraded], cooldown="1d")
        declare_endpoint(desk.workspace, replace(desk.endpoint, retrain=again))
        grant(desk.workspace, Grant(model=NAME, version="3"))
        deploy(desk.workspace, Deploy(model=NAME, version="3", at_once=True))
        done = replay(desk, first, (0, 10.5))
        assert done.failures == 0
        assert [one.name for one in desk.actions()] == ["alert", "stop", "close"]
        assert (desk.champion, desk.revision.served.number, desk.retrainings()) == (1, 1, [])
        status = desk.workspace.launcher.status(desk.folder)
        assert status is not None
        assert status.revision == desk.revision.number, "the endpoint's process has taken it"
        rows, _ = read_segments(desk.folder / "log", "predictions", PredictionRow)
        last = max(rows, key=lambda row: row.at_us)
        assert (last.version, last.revision) == (1, desk.revision.number)
        told = get_stories(desk.workspace, GetStories(endpoint=NAME)).stories[0]
        assert (told.policy, told.outcome) == ("roll back", "taken back")


class KilledInTheMiddle(RemoteControl):
    """A control plane that is killed while it makes its pass, sooner or later, and started again for the next."""

    moments = cycle([0.01, 0.3, 0.05, 0.6, 0.1, 1.0, 0.2])

    def __init__(self, *given: Any) -> None:
        super().__init__(*given)
        self.kills = 0

    def reconcile(self, settle: bool) -> Reconciled:
        def ask() -> None:
            with suppress(SlipwayError):  # its connection is lost
                super(KilledInTheMiddle, self).reconcile(settle)

        asking = threading.Thread(target=ask)
        asking.start()
        asking.join(next(self.moments))
        self._server.kill()
        self.kills += 1
        asking.join()
        self.kill()
        self.start()
        return super().reconcile(settle)


@pytest.mark.long
def test_killed_in_the_middle_of_its_passes_it_comes_to_the_same_end(fresh: Fresh) -> None:
    def story(kind: type[RemoteControl]) -> tuple[Any, ...]:
        with fresh() as desk:
            first = desk.first()
            control = kind(desk.workspace.root, desk.workspace.project, NAME)
            replay(desk, first, (0, 7))
            control.start()
            try:
                done = replay(desk, first, (7, 11.5), control=control)  # type: ignore[arg-type]
            finally:
                control.stop()
            assert done.failures == 0
            return decided(desk)

    undisturbed = story(RemoteControl)
    assert [name for _, name, *_ in undisturbed[0]] == STORY
    assert story(KilledInTheMiddle) == undisturbed


def test_a_retraining_whose_step_raises_is_told_and_the_next_one_is_rolled_out(fresh: Fresh) -> None:
    with fresh() as desk:
        first = desk.first()
        replay(desk, first, (0, 2))
        right = versions.head(desk.workspace, "orders").version
        rows = versions.read(desk.workspace, "orders").collect()
        write_orders(desk.workspace, rows.with_columns(late=pl.lit(value=True)))
        start_by_hand(desk.workspace, StartRetraining(endpoint=NAME, reason="new data"))
        (failed,) = desk.pass_at(desk.at(2.5))
        assert (failed.name, failed.owner) == ("alert", "data scientist")
        assert "every label is the same, nothing can be learnt from them" in failed.sentence
        assert any(subject.startswith("run:") for subject in failed.subjects)
        write_orders(desk.workspace, versions.read(desk.workspace, "orders", right).collect())
        start_by_hand(desk.workspace, StartRetraining(endpoint=NAME, reason="better data"))
        (rolled,) = desk.pass_at(desk.at(3.5))
        assert rolled.name == "shadow"
        assert [one.state for one in desk.retrainings()] == ["failed", "made"]


def test_a_killed_retraining_begins_again_and_after_three_times_has_failed(fresh: Fresh) -> None:
    with fresh() as desk:
        desk.first()
        begun = start_by_hand(desk.workspace, StartRetraining(endpoint=NAME, reason="new data")).retraining
        lock = desk.workspace.root / "tasks" / begun.id / LOCK_FILE
        for attempt in (1, 2, 3):
            assert desk.retrainings()[0].attempts == attempt
            pid = int(wait_for(lambda: lock.read_text().strip(), "the retraining has begun"))
            os.killpg(pid, signal.SIGKILL)
            wait_for(lambda: desk.workspace.runner.state(lock.parent) == "absent", "it is gone")
            actions = desk.look(settle=False)
        (failed,) = actions
        assert failed.sentence == "The retraining failed: its process ended 3 times without an answer"
        again = start_by_hand(desk.workspace, StartRetraining(endpoint=NAME, reason="again")).retraining
        lock = desk.workspace.root / "tasks" / again.id / LOCK_FILE
        os.killpg(int(wait_for(lambda: lock.read_text().strip(), "the retraining has begun")), signal.SIGKILL)
        wait_for(lambda: desk.workspace.runner.state(lock.parent) == "absent", "it is gone")
        assert desk.look(settle=False) == []
        (ended,) = desk.look()
        assert ended.name in ("ignore", "shadow"), ended.sentence
        assert desk.retrainings()[1].attempts == 2


def test_three_faults_are_met(fresh: Fresh) -> None:
    """A feed in other units holds the schedule of the 18th, and is mended; labels are turned round; all is survived."""
    with fresh() as desk:
        first = desk.first()
        faults = (
            KilledControlPlane(at=desk.at(7)),
            BrokenFeed(view="load_now", since=desk.at(15), until=desk.at(19), convert={"load": (50.0, 40.0)}),
            InvertedLabels(table="orders", label="late", at=desk.at(24)),
        )
        done = replay(desk, first, (0, 27), injected=faults)
        found = {fault.name: fault for fault in witnessed(desk.workspace, desk.endpoint, done).faults}
        assert [(fault.name, fault.sentence) for fault in found.values() if not fault.was_handled] == []
        assert "no retraining began meanwhile" in found["feed switches units"].sentence
        assert found["labels arrive inverted"].sentence.endswith("it answered 0 rows.")
        names = [one.name for one in desk.actions()]
        assert names.index("hold") < names.index("close") < names.index("stop")
