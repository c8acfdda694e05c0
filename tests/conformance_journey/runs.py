"""What is recorded of runs, and how they are found and compared."""

import json

import polars as pl
import pytest

import slipway as sw
from conformance_journey.world import World
from slipway.errors import Conflict, InvalidInput, NotFound


def _hand(world: World) -> str:
    """The id of a run that was logged in two lines."""
    if "hand" not in world.kept:
        with sw.run("by hand", params={"depth": 4}, tags={"team": "a"}, system_metrics=False) as run:
            for step in range(5):
                run.log_metric("loss", 1 / (1 + step), step)
            run.log_text("said.txt", "all of it")
            run.log_json("plan.json", {"count": 4})
            run.log_table("rows.parquet", pl.DataFrame({"x": [1, 2, 3]}))
        world.kept["hand"] = run.id
    return str(world.kept["hand"])


def _found(world: World, where: str, **more: object) -> list[str]:
    return [row.run.id for row in world.call("runs.search", where=where, **more).runs]


def recorded(world: World) -> None:
    """A run that two lines record is finished, with its parameters and tags."""
    run = world.call("runs.get", id=_hand(world)).run
    assert (run.state, run.name, run.params["depth"], run.tags["team"]) == ("finished", "by hand", 4, "a")


def beginning(world: World) -> None:
    """The beginning of an id names a run."""
    assert world.call("runs.get", id=_hand(world)[:20]).run.id == _hand(world)


def series(world: World) -> None:
    """A metric's points are read as they were logged."""
    (curve,) = world.call("runs.curves", id=_hand(world), key="loss").curves
    assert [(one.first.step, one.first.value) for one in curve.buckets] == [(n, 1 / (1 + n)) for n in range(5)]


def stretch(world: World) -> None:
    """A stretch of a curve is read by its steps."""
    (curve,) = world.call("runs.curves", id=_hand(world), key="loss", since=1, until=2).curves
    assert [one.first.step for one in curve.buckets] == [1, 2]


def latest(world: World) -> None:
    """A list shows the latest point of each metric."""
    (row,) = world.call("runs.search", where="attributes.name = 'by hand'").runs
    assert row.metrics["loss"] == 0.2


def text(world: World) -> None:
    """A text that a run logged is read again, and is whole."""
    found = world.call("runs.artifact", id=_hand(world), name="said.txt")
    assert (found.data, found.is_whole) == (b"all of it", True)


def structure(world: World) -> None:
    """A structure that a run logged is JSON."""
    assert json.loads(world.call("runs.artifact", id=_hand(world), name="plan.json").data) == {"count": 4}


def rows(world: World) -> None:
    """A frame that a run logged is shown as rows with its types."""
    found = world.call("runs.rows", id=_hand(world), name="rows.parquet", limit=2)
    assert (found.columns, found.types, found.rows, found.has_more) == (("x",), ("Int64",), (("1",), ("2",)), True)


def no_artifact(world: World) -> None:
    """An artifact that a run has not is told with those that it has."""
    with pytest.raises(NotFound, match=r"said\.txt"):
        world.call("runs.artifact", id=_hand(world), name="sad.txt")


def by_param(world: World) -> None:
    """Runs are found by a parameter."""
    assert _found(world, "params.depth = 4") == [_hand(world)]


def by_tag(world: World) -> None:
    """Runs are found by a tag, or by its absence."""
    assert _found(world, "tags.team = 'a'") == [_hand(world)]
    assert _hand(world) not in _found(world, "tags.team is null")


def by_metric(world: World) -> None:
    """Runs are found and ordered by a metric."""
    assert world.second.version
    found = world.call("runs.search", where="metrics.auc > 0.5", order="metrics.auc desc").runs
    values = [row.metrics["auc"] for row in found]
    assert values == sorted(values, reverse=True)
    assert len(values) >= 2


def by_words(world: World) -> None:
    """A search knows `or`, `not`, `in` and patterns."""
    assert _hand(world) in _found(world, "params.depth in (4, 6) or attributes.name matches '^nothing'")
    assert _hand(world) not in _found(world, "not attributes.name matches '^by'")


def pages(world: World) -> None:
    """Pages of a search give every run once, in order."""
    whole, token, seen = _found(world, ""), "", []
    while True:
        page = world.call("runs.search", limit=2, token=token)
        seen += [row.run.id for row in page.runs]
        token = page.token
        if not token:
            break
    assert seen == whole


def bad_search(world: World) -> None:
    """A search that cannot be read says at which character, and what was expected."""
    with pytest.raises(InvalidInput, match="cannot be read at character 14: a number or a text"):
        world.call("runs.search", where="metrics.auc >")


def fields(world: World) -> None:
    """What can be searched for is listed by a piece of its name."""
    found = world.call("runs.fields", contains="dep")
    assert (found.params, found.metrics) == (("depth",), ())


def groups(world: World) -> None:
    """Runs are grouped by a parameter, with the best metric of each group."""
    assert world.second.version
    found = {
        one.value: one.best for one in world.call("runs.groups", group="params.rounds", metric="metrics.auc").groups
    }
    assert {"12", "20"} <= set(found)
    assert found["12"] != found["20"]


def compared(world: World) -> None:
    """Two runs stand beside each other in the order in which they were asked for."""
    assert world.second.version
    asked = [world.second.run.id, world.first.run.id]
    assert [one.run.id for one in world.call("runs.compare", runs=",".join(asked)).runs] == asked


def changes(world: World) -> None:
    """What differs between two runs is told: the parameter, and no table and no code."""
    assert world.second.version
    told = world.call("runs.changes", id=world.second.run.id, other=world.first.run.id)
    assert (told.params, told.data, told.code, told.libraries) == (("rounds 20 -> 12",), (), (), ())
    assert {one.key for one in told.metrics} >= {"auc", "log_loss"}


def child(world: World) -> None:
    """A run inside another is its child."""
    with sw.run("outer", system_metrics=False) as outer, sw.run("inner", system_metrics=False) as inner:
        pass
    assert world.call("runs.get", id=inner.id).run.parent_id == outer.id


def failed(world: World) -> None:
    """A run whose block raises has failed, with the error."""
    with pytest.raises(RuntimeError), sw.run("broken", system_metrics=False) as run:
        raise RuntimeError("the disk is full")
    told = world.call("runs.get", id=run.id).run
    assert told.state == "failed"
    assert told.error is not None
    assert told.error.message == "the disk is full"


def gone_on_with(world: World) -> None:
    """A run is gone on with by its id, and its points are one series."""
    with sw.run(resume=_hand(world), system_metrics=False) as run:
        run.log_metric("loss", 0.1, 5)
    (curve,) = world.call("runs.curves", id=run.id, key="loss").curves
    assert [one.first.step for one in curve.buckets] == list(range(6))


def parameter_once(world: World) -> None:
    """A parameter is written once: another value is a conflict."""
    with sw.run("once", params={"a": 1}, system_metrics=False) as run, pytest.raises((Conflict, InvalidInput)):
        run.log_param("a", 2)
    assert world.call("runs.get", id=run.id).run.params["a"] == 1


def code_kept(world: World) -> None:
    """A pipeline's run keeps the project's code, and the versions of what it imported."""
    assert world.first.version
    told = world.call("runs.get", id=world.first.run.id)
    assert told.run.code is not None
    assert (len(told.run.code.snapshot), told.run.code.entry) == (64, "shop_project:release")
    assert "lightgbm" in str(told.lock)


def on_the_command_line(world: World) -> None:
    """`slipway api` asks without a server, and is answered what the server answers."""
    told = world.answer("api", "runs.search", "where=metrics.auc > 0")["runs"]
    assert [row["run"]["id"] for row in told] == _found(world, "metrics.auc > 0") != []


def deleted(world: World) -> None:
    """A run in the trash is in no list, and is found by its id."""
    world.call("trash.put", items=[f"run:{_hand(world)}"])
    assert _hand(world) not in _found(world, "")
    assert world.call("runs.get", id=_hand(world)).goes_at is not None


def restored(world: World) -> None:
    """What is restored from the trash is there again, with its points."""
    world.call("trash.restore", items=[f"run:{_hand(world)}"])
    assert _hand(world) in _found(world, "")
    assert world.call("runs.curves", id=_hand(world), key="loss").curves


def purged(world: World) -> None:
    """What is purged from the trash is gone, and the event of it stays."""
    with sw.run("short", system_metrics=False) as run:
        run.log_text("said.txt", "to be forgotten")
    world.call("trash.put", items=[f"run:{run.id}"])
    world.call("trash.purge", items=[f"run:{run.id}"])
    with pytest.raises(NotFound):
        world.call("runs.get", id=run.id)
    assert run.id in str(world.call("audit.list", act="runs.purge").events)


def purge_needs_trash(world: World) -> None:
    """What is not in the trash is not purged."""
    with pytest.raises((Conflict, InvalidInput, NotFound)):
        world.call("trash.purge", items=[f"run:{_hand(world)}"])
    assert world.call("runs.get", id=_hand(world)).run.id == _hand(world)


BEHAVIOURS = (
    recorded,
    beginning,
    series,
    stretch,
    latest,
    text,
    structure,
    rows,
    no_artifact,
    by_param,
    by_tag,
    by_metric,
    by_words,
    pages,
    bad_search,
    fields,
    groups,
    compared,
    changes,
    child,
    failed,
    gone_on_with,
    parameter_once,
    code_kept,
    on_the_command_line,
    deleted,
    restored,
    purged,
    purge_needs_trash,
)
