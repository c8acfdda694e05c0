"""What pipelines do: steps that ran are not run again, and what fails is told."""

from pathlib import Path

import pytest

from conformance_journey.world import World
from slipway.errors import InvalidInput, StepFailed
from slipway.records.runs import StepRun


def _steps(world: World, run: str) -> list[StepRun]:
    return list(world.call("runs.get", id=run).steps)


def _states(world: World, run: str, name: str) -> list[str]:
    return [one.state for one in _steps(world, run) if one.name == name]


def _troubled(world: World) -> tuple[str, Path]:
    """The run whose last step is killed, and its folder."""
    if "troubled" not in world.kept:
        folder = world.path("troubled")
        with pytest.raises(StepFailed) as problem:
            world.run("troubled", params={"folder": str(folder)})
        (found,) = world.call("runs.search", where="attributes.pipeline = 'troubled'").runs
        world.kept["troubled"] = found.run.id, folder, str(problem.value)
    run, folder, _ = world.kept["troubled"]
    return run, folder


def killed(world: World) -> None:
    """A step whose process is killed fails the run with a sentence; whoever started it lives on."""
    run, _ = _troubled(world)
    assert "The step 'dies' failed: its process was killed by SIGKILL" in world.kept["troubled"][2]
    assert world.call("runs.get", id=run).run.state == "failed"


def fan_out(world: World) -> None:
    """Steps that were mapped over a list ran once an element."""
    run, _ = _troubled(world)
    assert _states(world, run, "squared") == ["finished"] * 4


def retried(world: World) -> None:
    """A step that fails once and may be tried again is tried again, and the first failure is told."""
    (step,) = (one for one in _steps(world, _troubled(world)[0]) if one.name == "shaky")
    assert step.state == "finished"
    assert [attempt.error.message for attempt in step.attempts if attempt.error] == ["not yet"]


def timed_out(world: World) -> None:
    """A step that takes longer than it may is ended as failed, and the pipeline can go on without it."""
    run, _ = _troubled(world)
    assert _states(world, run, "slow") == ["failed"]
    assert world.call("runs.get", id=run).run.tags["slow"] == "StepFailed"


def resumed(world: World) -> None:
    """A run that is resumed takes the steps that had finished from the store, and finishes."""
    _, folder = _troubled(world)
    (folder / "live").touch()
    done = world.run("troubled", resume="last")
    assert done.value == sum(n * n for n in range(4)) + 7 + 1
    world.kept["resumed"] = done.run.id
    assert _states(world, done.run.id, "squared") == ["cached"] * 4
    assert _states(world, done.run.id, "shaky") == ["cached"]
    assert _states(world, done.run.id, "dies") == ["finished"]


def resumed_says_so(world: World) -> None:
    """A resumed run names the run that it goes on with."""
    shown = world.slipway("runs", "show", world.kept["resumed"]).output
    assert _troubled(world)[0][:12] in shown


def shared(world: World) -> None:
    """A result that one pipeline stored is found by another."""
    assert world.spread.value == 14
    assert _states(world, world.spread.run.id, "numbers") == ["cached"]


def hit_why(world: World) -> None:
    """A step that did not have to run says why, and which run made its result."""
    (step,) = (one for one in _steps(world, world.spread.run.id) if one.name == "numbers")
    assert step.reason.startswith("nothing that it depends on has changed since run ")
    assert step.source_run_id == _troubled(world)[0]


def log(world: World) -> None:
    """What a step printed is its log."""
    assert world.first.version
    told = world.call("runs.step_log", id=world.first.run.id, step="train")
    assert (told.text, told.state, told.calls) == ("training on 860 rows\n", "finished", 1)


def log_of_a_hit(world: World) -> None:
    """The log of a step that did not have to run is that of the run that made its result."""
    told = world.call("runs.step_log", id=world.spread.run.id, step="numbers")
    assert (told.text, told.state) == ("making 4 numbers\n", "cached")


def again(world: World) -> None:
    """The same pipeline on the same data is the same model version."""
    assert world.first.version
    told = world.answer("run", "release", "--no-ingest")
    assert told["model"]["number"] == 1
    assert {one.state for one in _steps(world, told["run"]["id"])} == {"cached"}


def miss_why(world: World) -> None:
    """A step that had to run says what it depends on that is another."""
    assert world.second.version
    (step,) = (one for one in _steps(world, world.second.run.id) if one.name == "train")
    assert step.state == "finished"
    assert "rounds" in step.reason


def why(world: World) -> None:
    """`slipway why` says of each step of a name why it ran."""
    assert world.second.version
    done = world.slipway("why", "train")
    assert done.exit_code == 0
    assert "rounds" in done.output


def fingerprints(world: World) -> None:
    """A step's results have fingerprints of their content, which a hit has too."""
    first = {one.name: [out.fingerprint for out in one.outputs] for one in _steps(world, _troubled(world)[0])}
    later = {one.name: [out.fingerprint for out in one.outputs] for one in _steps(world, world.spread.run.id)}
    assert first["numbers"] == later["numbers"] != []


def raises(world: World) -> None:
    """A pipeline that raises is a failed run with the exception's own words."""
    with pytest.raises(ValueError, match="the shop is closed"):
        world.run("wrong")
    (found, *_) = world.call("runs.search", where="attributes.pipeline = 'wrong'").runs
    assert found.run.error is not None
    assert (found.run.error.type, found.run.error.message) == ("ValueError", "the shop is closed")


def lines_of_the_user(world: World) -> None:
    """The traceback of a failed pipeline shows the user's lines and none of Slipway's."""
    done = world.slipway("run", "wrong", "--no-ingest")
    assert done.exit_code == 4
    assert 'raise ValueError("the shop is closed")' in done.output
    assert "slipway/pipelines" not in done.output


def keyed(world: World) -> None:
    """The same key gives the run that there is."""
    first = world.answer("run", "spread", "--no-ingest", "--key", "once")
    assert world.answer("run", "spread", "--no-ingest", "--key", "once")["run"]["id"] == first["run"]["id"]


def keyed_otherwise(world: World) -> None:
    """The same key with other parameters is a conflict, with an exit code of its own."""
    world.answer("run", "spread", "--no-ingest", "--key", "once")
    assert world.slipway("run", "spread", "--no-ingest", "--key", "once", "--set", "count=3").exit_code == 6


def unknown_parameter(world: World) -> None:
    """A parameter that a pipeline does not have is refused before a step runs."""
    with pytest.raises(InvalidInput, match="coumt"):
        world.run("spread", params={"coumt": 3})


def wrong_parameter(world: World) -> None:
    """A parameter of another type is refused with the type that fits."""
    done = world.slipway("run", "spread", "--no-ingest", "--set", "count=abc")
    assert done.exit_code == 2
    assert "'abc' does not fit the parameter 'count': Expected `int`" in done.output


def unknown_pipeline(world: World) -> None:
    """A pipeline that does not exist is told with those that do."""
    done = world.slipway("run", "nothing")
    assert done.exit_code == 5
    assert "The pipelines are: release, spread, troubled, wrong." in done.output


def worker_time(world: World) -> None:
    """A run says how long workers were held for it."""
    assert world.first.version
    told = world.call("runs.get", id=world.first.run.id).run.worker_time
    assert told.workers >= 1
    assert 0 < told.used_s <= told.paid_s


def read_tables(world: World) -> None:
    """A run names the versions of the tables that it read."""
    assert world.first.version
    shown = world.slipway("runs", "show", world.first.run.id).output
    version = world.module.orders.history()[0].version
    assert f"table:shop/orders@{version}" in shown


BEHAVIOURS = (
    killed,
    fan_out,
    retried,
    timed_out,
    resumed,
    resumed_says_so,
    shared,
    hit_why,
    log,
    log_of_a_hit,
    again,
    miss_why,
    why,
    fingerprints,
    raises,
    lines_of_the_user,
    keyed,
    keyed_otherwise,
    unknown_parameter,
    wrong_parameter,
    unknown_pipeline,
    worker_time,
    read_tables,
)
