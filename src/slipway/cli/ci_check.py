"""`slipway ci check`: the tests of a project as one suite, with a report for people and one for machines."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stdout
from pathlib import Path
from typing import TYPE_CHECKING

import click

from slipway.cli.door import Door, opened
from slipway.cli.ended import ended_by_signals
from slipway.cli.exits import REFUSED
from slipway.cli.layout import columns
from slipway.errors import InvalidInput
from slipway.records.ci import SUITES, CiCheck, CiModel, CiReport

if TYPE_CHECKING:
    from slipway.flows.ci_check import Code
    from slipway.flows.ci_found import Ask
    from slipway.hosts.project import Project
    from slipway.ports.workspace import Workspace

__all__ = ["check", "checked"]

_FILE = click.Path(path_type=Path, dir_okay=False)


@click.command()
@click.option("--only", metavar="SUITE", multiple=True, help=f"Say it once for each of: {', '.join(SUITES)}.")
@click.option(
    "--since", metavar="GITREF", default="", help="Tell which code moved since then.  [default: the champion's commit]"
)
@click.option(
    "--rows", metavar="N", default=20_000, show_default=True, help="Train on so many rows of a table; 0 for all."
)
@click.option("--no-image", is_flag=True, help="Build no container image.")
@click.option("--junit", metavar="FILE", type=_FILE, help="Write the checks as JUnit XML.")
@click.option("--markdown", metavar="FILE", type=_FILE, help="Write a report that is fit for a comment on a change.")
@opened
def check(
    door: Door, only: tuple[str, ...], since: str, rows: int, no_image: bool, junit: Path | None, markdown: Path | None
) -> None:
    """Test the project: its code, tables, features, models, what callers rely on, package and image.

    Models are trained on a sample in a store that is thrown away; the project's own store is only read. A check that
    cannot be made says why, and is skipped. The exit code is 3 where a check failed.
    """
    from slipway.flows.ci_found import Ask
    from slipway.flows.ci_junit import junit as as_junit
    from slipway.flows.ci_markdown import markdown as as_markdown

    for path in (junit, markdown):
        _check_place(path)
    with ended_by_signals("Ended before it was done. The project's store is as it was."):
        report = checked(door.project, Ask(only=only, since=since, rows=rows, image=not no_image))
    if junit is not None:
        junit.write_bytes(as_junit(report))
    if markdown is not None:
        markdown.write_text(as_markdown(report), encoding="utf-8")
    door.show(report, _text)
    if not report.passed:
        raise click.exceptions.Exit(REFUSED)


def checked(project: Project, ask: Ask) -> CiReport:
    """Check a project, and say a line as each check ends.

    Raises:
        SlipwayError: As `flows/ci_check.py` says.
    """
    from slipway.flows import ci_check

    # Standard output is the answer's alone: what the project's code prints goes beside it.
    with redirect_stdout(sys.stderr):
        return ci_check.check(
            project.workspace,
            lambda: _code(project),
            project.folder,
            ask,
            away=lambda root: _away(project, root),
            tell=_line,
        )


def _check_place(path: Path | None) -> None:
    """Refuse a place for a report before the minutes are spent, and not after them."""
    if path is not None and not path.absolute().parent.is_dir():
        raise InvalidInput(
            f"There is no folder {path.absolute().parent} for {path.name}.", fix="Make it, or name another file."
        )


def _code(project: Project) -> Code:
    from slipway.data.declare import Table
    from slipway.data.fileset import FileSet
    from slipway.features.scalars import Feature
    from slipway.features.sets import FeatureSet
    from slipway.flows.ci_check import Code
    from slipway.flows.endpoint import Endpoint
    from slipway.pipelines.declare import Pipeline

    return Code(
        folder=project.folder,
        tables=project.declared(Table),
        features=list(project.declared(Feature).values()),
        sets=project.all_declared(FeatureSet),
        pipelines=project.declared(Pipeline),
        endpoints=project.declared(Endpoint),
        file_sets=project.declared(FileSet),
    )


@contextmanager
def _away(project: Project, root: Path) -> Iterator[Workspace]:
    from slipway.hosts.project import open_project

    with open_project(project.folder, environment=project.workspace.environment, root=root) as other:
        yield other.workspace


def _line(found: CiCheck) -> None:
    """What came of a check, as it goes along."""
    told = f": {' '.join(found.sentence.split())}" if found.state != "passed" and found.sentence else ""
    click.echo(f"{found.state:<8} {found.suite:<12} {found.name} ({found.seconds:.1f} s){told}", err=True)


def _text(report: CiReport) -> str:
    from slipway.flows.ci_markdown import verdict_line

    rows = []
    for name in report.told:
        counts = [str(report.count(state, name)) for state in ("passed", "failed", "skipped")]
        seconds = sum(one.seconds for one in report.checks if one.suite == name)
        rows.append((name, *counts, f"{seconds:.1f}"))
    parts = [columns(("suite", "passed", "failed", "skipped", "seconds"), rows, empty="")]
    failed = [_failure(one) for one in report.checks if one.state == "failed"]
    if failed:
        parts.append("\n".join(failed))
    told = [_model(one) for one in report.models]
    if report.since:
        changed = f"{len(report.files):,} file{'' if len(report.files) == 1 else 's'} moved since {report.since}."
        told.append(f"Code: {changed}")
    told += report.notes
    if told:
        parts.append("\n".join(told))
    return "\n\n".join([*parts, verdict_line(report)])


def _failure(found: CiCheck) -> str:
    line = f"FAILED {found.suite}: {found.name}\n       {found.sentence}"
    return f"{line}\n       {found.fix}" if found.fix else line


def _model(one: CiModel) -> str:
    overall = [figure for figure in one.figures if not figure.slice]
    if not overall:
        return f"{one.model}: {one.sentence}"
    figures = "; ".join(
        f"{each.metric} {each.candidate:.4g} against {each.champion:.4g}, {each.verdict}" for each in overall
    )
    return f"{one.model} against {one.champion}: {figures}. {' '.join(one.notes)}".rstrip()
