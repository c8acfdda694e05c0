"""`slipway ci run` and `slipway ci status`: a commit's way to production."""

from __future__ import annotations

import sys
from contextlib import redirect_stdout
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from slipway.cli.ci_check import checked
from slipway.cli.door import Way, json_option
from slipway.cli.layout import columns, instant, print_json
from slipway.cli.promote import MARKS, promoted
from slipway.errors import InvalidSetting, NotFound, StepFailed
from slipway.hosts.settings import FILE, Settings, locate
from slipway.records.ci_runs import WAITING

if TYPE_CHECKING:
    from slipway.hosts.project import Project
    from slipway.records.ci_runs import CiRun
    from slipway.records.models import ModelVersion
    from slipway.records.promotions import Promotion

__all__ = ["run", "status"]

_TARGETS = ("test", "prod")
_FOLDER = click.option(
    "-C", "folder", metavar="DIR", type=click.Path(path_type=Path, file_okay=False), help="The project's folder."
)
_SHOWN = 12


@click.command()
@click.argument("pipeline", default="")
@click.option("--stage", default="", metavar="NAME", help="Only this one: each may be a job of its own.")
@click.option(
    "--set", "settings", metavar="NAME=VALUE", multiple=True, help="A parameter of the pipeline; say it once for each."
)
@_FOLDER
@json_option
def run(pipeline: str, stage: str, settings: tuple[str, ...], folder: Path | None, as_json: bool) -> None:
    """Take the present commit to production as far as it comes: test, train, gate, package, deploy-test, approve, deploy-prod.

    The same commit is the same work: give the command again to go on, after an approval as after a kill. PIPELINE is the
    endpoint's where there is one. Where it waits for somebody's word, it ends with the exit code 8 and says whose; with
    `slipway up --env prod` in the project's folder it goes on by itself once that was given.
    """
    from slipway.flows.ci_git import commit_of
    from slipway.flows.ci_run import Work, fed_endpoint, run_commit
    from slipway.flows.endpoint import Endpoint
    from slipway.pipelines import isolation

    home, chosen = _checked(folder)
    commit = commit_of(home)
    isolation.hold()

    def promote(version: ModelVersion, target: str, before: str) -> Promotion:
        # A store that test and prod share would have one endpoint of two environments; `_checked` saw to that.
        return promoted(
            home, chosen, version.name, str(version.number), target=target, endpoint=endpoint.name, before=before
        )

    with Way(folder).open() as door, redirect_stdout(sys.stderr):  # what steps print goes beside the answer
        endpoint = fed_endpoint(door.project.declared(Endpoint), pipeline)
        assert endpoint.pipeline is not None
        work = Work(
            checkout=door.project,
            commit=commit,
            endpoint=endpoint,
            params=_params(endpoint.pipeline, settings),
            test=lambda: _tested(door.project),
            promote=promote,
        )
        found = run_commit(work, stage)
    if as_json:
        print_json(found)
    else:
        click.echo(_text(found))
    if any(one.state == "waiting" and stage in ("", one.name) for one in found.stages):
        raise click.exceptions.Exit(WAITING)


@click.command()
@click.argument("commit", default="")
@_FOLDER
@json_option
def status(commit: str, folder: Path | None, as_json: bool) -> None:
    """Say where commits stand on their way to production; of COMMIT, stage by stage."""
    from slipway.flows.ci_run import ci_runs

    with Way(folder).open() as door:
        found = ci_runs(door.workspace, commit)
    if commit and not found:
        raise NotFound(f"No commit {commit!r} was on its way here.", fix="See which were: slipway ci status")
    if as_json:
        print_json(found)
    elif commit:
        click.echo(_text(found[0]))
    else:
        rows = [(MARKS[one.state], one.commit[:_SHOWN], one.name, _at(one), instant(one.updated_at)) for one in found]
        click.echo(
            columns(("", "commit", "pipeline", "stands at", "since"), rows, empty="No commit was on its way here.")
        )


def _checked(folder: Path | None) -> tuple[Path, Settings]:
    """The project's folder and settings, where a push can go all the way."""
    home, settings = locate(folder or Path())
    stores = {}
    for name in _TARGETS:
        if name not in settings.environments:
            raise InvalidSetting(
                f"{home / FILE} has no environment {name!r}.",
                why="A push goes from dev to test to prod.",
                fix=f'Add a section [environments.{name}] with store = ".slipway-{name}".',
            )
        stores[name] = (home / settings.environment(name).store).resolve()
    if stores["test"] == stores["prod"]:
        raise InvalidSetting(
            f"The environments test and prod share the store {stores['prod']}.",
            why="There an endpoint has one name and one environment: a push to test would replace what prod serves.",
            fix='Give each its own in slipway.toml: [environments.test] store = ".slipway-test"',
        )
    return home, settings


def _tested(project: Project) -> str:
    """What came of the project's checks, in a sentence.

    Raises:
        StepFailed: One failed.
    """
    from slipway.flows.ci_found import Ask
    from slipway.flows.ci_markdown import verdict_line

    report = checked(project, Ask(image=False))  # whoever wants an image builds it of what is released
    failed = [one for one in report.checks if one.state == "failed"]
    if failed:
        told = "\n".join(f"{one.suite}: {one.name}: {one.sentence}\n{one.detail}".rstrip() for one in failed)
        raise StepFailed(
            f"{verdict_line(report)} {failed[0].suite}: {failed[0].name}: {failed[0].sentence}",
            step="test",
            trace=told,
            fix="Mend it, commit, and push again; `slipway ci check` shows the same.",
        )
    return verdict_line(report)


def _params(pipeline: Any, settings: tuple[str, ...]) -> dict[str, object]:
    from slipway.cli.run import params_of

    return params_of(pipeline, settings)


def _at(run: CiRun) -> str:
    """Where a run stands, in a few words."""
    if run.state == "done":
        return f"serves: {run.model} {run.version}"
    stage = next(one for one in run.stages if one.state != "done")
    return f"{stage.name}, {_waits_for(run)}" if run.state == "waiting" else f"{stage.name}, {stage.state}"


def _waits_for(run: CiRun) -> str:
    stage = next(one for one in run.stages if one.state == "waiting")
    return f"waits for {', '.join(stage.asked) or 'its roll-out'}"


def _text(run: CiRun) -> str:
    model = f": {run.model} {run.version}" if run.version else ""
    head = (
        f"commit {run.commit[:_SHOWN]} ({run.name}){model}: {_waits_for(run) if run.state == 'waiting' else run.state}"
    )
    rows = [(MARKS[stage.state], stage.name, stage.sentence) for stage in run.stages]
    parts = [head, "", columns(("", "stage", "what came of it"), rows, empty="")]
    for stage in run.stages:
        if stage.state == "waiting":
            target = "test" if stage.name == "deploy-test" else "prod"
            alone = f"by itself, where `slipway up --env {target}` runs in the project's folder; or: "
            is_trust = "--trust" in stage.command
            parts += ["", f"Next:  {stage.command}", f"Then:  {'' if is_trust else alone}slipway ci run"]
    return "\n".join(parts)
