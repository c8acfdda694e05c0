"""The catalogue: what is in use, and who uses it."""

import pytest
from borrowing import released, share_all
from small_desk import NAME, Desk

import slipway as sw
from slipway.flows.catalog import search
from slipway.flows.share import grant, publish, withdraw
from slipway.hosts.project import Project
from slipway.operations.catalog import Hit, Search
from slipway.operations.sharing import Grant, Withdraw
from slipway.ports.workspace import Workspace, current_workspace


def found(workspace: Workspace, text: str = "") -> dict[str, Hit]:
    return {hit.name: hit for hit in search(workspace, Search(text=text)).hits}


def described(width: str, description: str) -> object:
    return sw.windows(
        "flights", time="known_at", by={"origin": "origin"}, description=description, mean=sw.mean("delay", width)
    )


def test_a_feature_is_shown_as_it_is_in_use(desk: Desk) -> None:
    def train(width: str, description: str) -> None:
        with current_workspace.filled(desk.workspace):
            sw.FeatureSet(described(width, description)).training_set("flights", label="late")  # type: ignore[arg-type]

    train("2h", "two hours")
    train("3h", "three hours")
    train("2h", "two hours")

    def fail() -> None:
        with current_workspace.filled(desk.workspace), sw.run("fails"):
            train("4h", "four hours")
            raise ArithmeticError

    with pytest.raises(ArithmeticError):
        fail()
    assert found(desk.workspace)["origin_mean"].description == "two hours"
    assert found(desk.workspace, "four hours") == {}


@pytest.mark.full
def test_a_hit_tells_who_uses_it_in_other_projects(desk: Desk, borrower: Project) -> None:
    share_all(desk)
    assert found(borrower.workspace, "hour")[f"{NAME}/hour@1"].models == ()
    released(borrower)
    theirs = found(borrower.workspace)
    assert theirs[f"{NAME}/hour@1"].models == ("freight-late",)
    assert theirs[f"{NAME}/flights@1"].models == ("freight-late",), "by way of the table loads"
    assert theirs[f"{NAME}/weather_now@1"].models == ("freight-late",)
    ours = found(desk.workspace)
    assert ours["hour"].models == ("freight/freight-late", NAME)
    assert ours["weather"].models == ("freight/freight-late", NAME)
    assert theirs["loads"].models == ("freight-late",)
    assert f"{NAME}/hour@1" not in ours


def test_nobody_is_shown_what_nobody_may_begin_to_use(desk: Desk, borrower: Project) -> None:
    share_all(desk)
    released(borrower)
    withdraw(desk.workspace, Withdraw(name="recent", number=1))
    grant(desk.workspace, Grant(name="hour", readers=(NAME,)))
    shown = found(borrower.workspace)
    assert f"{NAME}/recent@1" in shown, "who uses it goes on"
    assert f"{NAME}/hour@1" not in shown
    publish(desk.workspace, "day", sw.feature(_day))
    assert f"{NAME}/day@1" in found(borrower.workspace)
    withdraw(desk.workspace, Withdraw(name="day", number=1))
    assert f"{NAME}/day@1" not in found(borrower.workspace)


def _day(distance: int) -> int:
    return distance + 1
