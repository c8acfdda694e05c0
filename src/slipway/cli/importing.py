"""`slipway import`: what was made elsewhere becomes runs and versions here, proven to answer as before."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any, TypeVar

import click

from slipway.cli.door import Way, way_options
from slipway.cli.models import import_text
from slipway.errors import InvalidInput
from slipway.ids import fitting_name

__all__ = ["import_"]

F = TypeVar("F", bound=Callable[..., Any])
_FILE = click.Path(path_type=Path, dir_okay=False)


@click.group("import")
def import_() -> None:
    """Move models and their history in, proven to answer 1,000 rows as before."""


def _proving(function: F) -> F:
    """Add the options of whatever becomes one version."""
    for option in (
        click.option(
            "--sample", required=True, type=_FILE, metavar="ROWS", help="CSV or Parquet: rows it was asked with."
        ),
        click.option(
            "--target", default="", metavar="COLUMN", help="A column of the sample that is the truth: left out."
        ),
        click.option("--name", default="", help="The model's name here; the file's when missing."),
        click.option(
            "--task", type=click.Choice(["classification", "regression"]), help="Where the model does not say."
        ),
        click.option(
            "--accept", default="", metavar="WHY", help="Take rows that it answers differently; they are named."
        ),
    ):
        function = option(function)
    return function


def _trusting(function: F) -> F:
    """Add the options of what is loaded by running code."""
    for option in (
        click.option("--trust", is_flag=True, help="Load it: loading a pickle runs the code in it."),
        click.option("--keep-pickle", is_flag=True, help="Keep it as a pickle, which the endpoint loads too."),
        click.option("--python", default="", metavar="PYTHON", help="Ask the original by this environment's Python."),
    ):
        function = option(function)
    return function


@import_.command("pickle")
@click.argument("file", type=_FILE)
@_proving
@_trusting
@way_options
def pickle(way: Way, file: Path, trust: bool, keep_pickle: bool, python: str, **asked: Any) -> None:
    """Import the fitted estimator in FILE, a pickle or joblib file.

    Loading it executes whatever code it holds, so it must be trusted: --trust. Modules that it names are also looked for in
    this folder and in its own.
    """
    from slipway.flows.import_model import Kept

    _check_trust(file, trust)
    folders = (Path.cwd(), file.resolve().parent)
    kept = Kept(kind="pickle", path=file, python=python, folders=folders)
    with _importable(folders):
        _import_file(way, "pickle", kept, trust_pickle=keep_pickle, **asked)


@contextmanager
def _importable(folders: Sequence[Path]) -> Iterator[None]:
    """Let modules in folders be found that no installed package has, as where the pickle was made."""
    import sys

    path = list(sys.path)
    sys.path += [str(folder) for folder in folders]
    try:
        yield
    finally:
        sys.path[:] = path


@import_.command("onnx")
@click.argument("file", type=_FILE)
@_proving
@way_options
def onnx(way: Way, file: Path, **asked: Any) -> None:
    """Import the ONNX model in FILE. Loading one runs no code of its own."""
    from slipway.flows.import_model import Kept

    _import_file(way, "onnx", Kept(kind="onnx", path=file), **asked)


def _check_trust(file: Path, trust: bool) -> None:
    if not trust:
        raise InvalidInput(
            f"{file} was not loaded.",
            why="Loading a pickle executes whatever code is in it, with your rights.",
            fix="If you know who made it, say so: --trust",
            field="trust",
        )


def _import_file(
    way: Way, door: str, kept: Any, *, sample: Path, target: str, name: str, trust_pickle: bool = False, **more: Any
) -> None:
    from slipway.flows.import_model import Original, import_model, open_original, read_rows, take_columns
    from slipway.hashing import digest_file

    rows = read_rows(sample)  # before anything is opened that would leave a store behind
    model = open_original(kept)
    original = Original(
        door=door,
        source=kept.path.name,
        digest=digest_file(kept.path),
        model=model,
        rows=take_columns(model, rows, target=target, say=_say),
        kept=kept,
        files={f"original/{kept.path.name}": kept.path},
    )
    wanted = name or _name_of(kept.path)
    with way.open(implicit=True) as door_:
        version = import_model(door_.workspace, original, name=wanted, trust_pickle=trust_pickle, **more)
        door_.show(version, import_text)


def _say(line: str) -> None:
    click.echo(line, err=True)


@import_.command("mlflow")
@click.argument("address", metavar="MLRUNS|URL")
@click.option(
    "--sample", "samples", multiple=True, metavar="[MODEL=]ROWS", help="Rows to prove versions by; may be repeated."
)
@click.option("--target", default="", metavar="COLUMN", help="A column of the samples that is the truth: left out.")
@click.option("--trust", is_flag=True, help="Load pickled models: loading a pickle runs the code in it.")
@click.option("--python", default="", metavar="PYTHON", help="Ask the originals by this environment, which has MLflow.")
@click.option("--accept", default="", metavar="WHY", help="Take rows that are answered differently; they are named.")
@way_options
def mlflow(way: Way, address: str, samples: tuple[str, ...], **asked: Any) -> None:
    """Import what MLflow keeps: runs with their history, registered models, and bundles of what can be proven.

    MLRUNS is a folder, or sqlite:///mlflow.db; URL the address of a tracking server. Say it again, and only what is new comes.
    """
    from slipway.flows.import_model import read_rows
    from slipway.flows.import_runs import Moved, import_runs
    from slipway.flows.import_versions import Asked, check_samples, import_versions
    from slipway.plugins import load

    kind = (
        "http"
        if address.startswith(("http://", "https://"))
        else "sqlite"
        if address.startswith("sqlite:")
        else "files"
    )
    source = load("foreign_runs", kind)(address)
    given = {}
    for one in samples:
        name, equals, path = one.rpartition("=")
        given[name if equals else ""] = read_rows(Path(path))
    moved = Moved(place=source.place)
    with closing(source), way.open(implicit=True) as door:
        check_samples(source, given)
        import_runs(door.workspace, source, moved, _say)
        import_versions(door.workspace, source, Asked(samples=given, **asked), moved)
        door.show(moved, _moved_text)
    if any(there != here for there, here in moved.counted.values()):
        raise click.exceptions.Exit(1)


def _moved_text(moved: Any) -> str:
    from slipway.cli.layout import columns

    sorts = sorted({*moved.new, *moved.there, *moved.counted})
    rows = []
    for sort in sorts:
        there, here = moved.counted.get(sort, ("", ""))
        rows.append((sort, str(moved.new.get(sort, 0)), str(moved.there.get(sort, 0)), str(there), str(here)))
    parts = [
        columns(("what", "came now", "here before", "counted there", "counted here"), rows, empty="Nothing is there.")
    ]
    parts += [f"Called {here} here: {there!r}, which cannot be a name here" for there, here in moved.renamed]
    parts += [f"Proven: {one.name} {one.number}: {one.imported[-1].sentence}" for one in moved.proven]
    parts += [f"Not a bundle: {called}: {why}" for called, why in moved.unproven]
    parts += [f"Not here: {what}: {why}" for what, why in moved.left]
    if moved.proven:
        parts.append(f"Next: slipway deploy {moved.proven[-1].name}")
    return "\n".join(parts)


@import_.command("fastapi")
@click.argument("url")
@click.option(
    "--model", "wanted", required=True, metavar="MODEL[:VERSION]", help="The version that is to take its place."
)
@click.option("--sample", required=True, type=_FILE, metavar="ROWS", help="CSV or Parquet: rows it was asked with.")
@click.option("--path", default="", help="The path of its POST; found in its /openapi.json when missing.")
@click.option(
    "--score", default="score", show_default=True, help="Where the score stands in its answer: result.probability"
)
@click.option("--tolerance", default=1e-6, show_default=True, help="How far apart answers may be; more needs --accept.")
@click.option(
    "--accept",
    default="",
    metavar="WHY",
    help="Keep rows that are answered differently, or a wide tolerance; it is said.",
)
@way_options
def fastapi(way: Way, url: str, wanted: str, sample: Path, **asked: Any) -> None:
    """Ask the old HTTP service at URL for 1,000 rows, and keep its answers with the version that replaces it."""
    from slipway.flows.import_model import read_rows
    from slipway.flows.import_service import compare_service
    from slipway.models import registry

    rows = read_rows(sample)
    name, _, number = wanted.partition(":")
    with way.open() as door:
        version = registry.get(door.workspace, name, number or registry.LATEST)
        version, address = compare_service(door.workspace, version, url, rows, **asked)
        door.show(version, import_text)
    _say(
        f'To compare live traffic unseen first, declare and deploy: old_system=sw.OldSystem(url="{address}", score="{asked["score"]}")'
    )
    _say(f"Then, before the cut-over: slipway endpoints agreement {name}")


@import_.command("notebook")
@click.argument("file", type=_FILE)
@click.argument("name", required=False)
@click.option("--model", default="", help="Which of the notebook's models is served, where it fits several.")
@click.option("--json", "as_json", is_flag=True, help="Answer in JSON.")
@click.pass_context
def notebook(ctx: click.Context, file: Path, name: str | None, model: str, as_json: bool) -> None:
    """Make a project NAME of the notebook FILE: the same as slipway new --from-notebook."""
    from slipway.cli.new import new

    ctx.invoke(new, name=name, template="tabular", notebook=file, model=model, as_json=as_json)


@import_.command("script")
@click.argument("file", type=_FILE)
@click.option("--model", "wanted", default="", help="The name in the script of the model that is meant, of several.")
@click.option("--sample", type=_FILE, metavar="ROWS", help="CSV or Parquet; the script's own rows when missing.")
@click.option("--target", default="", metavar="COLUMN", help="A column of the sample that is the truth: left out.")
@click.option("--name", default="", help="The model's name here; the script's when missing.")
@click.option("--accept", default="", metavar="WHY", help="Take rows that it answers differently; they are named.")
@way_options
def script(way: Way, file: Path, wanted: str, sample: Path | None, target: str, name: str, accept: str) -> None:
    """Run the script FILE as a recorded run, and import the fitted model that it leaves."""
    from slipway.flows.import_model import Original, import_model, read_rows, take_columns
    from slipway.flows.import_script import fitted_in, rows_in
    from slipway.hashing import digest_file
    from slipway.hosts import session

    rows = None if sample is None else read_rows(sample)
    called = name or _name_of(file)
    with way.open(implicit=True) as door:
        with session.run(called, environment=way.environment) as run:
            left = _run_script(file)
            _, model = fitted_in(left, wanted)
            given = rows_in(left, model) if rows is None else take_columns(model, rows, target=target, say=_say)
            run.log_artifact(f"original/{file.name}", file)
            run.flush()
            original = Original(
                door="script", source=file.name, digest=digest_file(file), model=model, rows=given, kept=None
            )
            version = import_model(door.workspace, original, name=called, accept=accept, run=run.record)
        door.show(version, import_text)


def _run_script(file: Path) -> dict[str, Any]:
    """The names that a script leaves, run as `python FILE` runs it."""
    import runpy
    import sys
    from contextlib import redirect_stdout

    from slipway.errors import NotFound

    if not file.is_file():
        raise NotFound(f"There is no script {file}.", fix="Give the path of a .py file.")
    argv, path = sys.argv, list(sys.path)
    sys.argv, sys.path[0:0] = [str(file)], [str(file.resolve().parent)]
    try:
        with redirect_stdout(sys.stderr):  # what this command answers is not what the script prints
            return runpy.run_path(str(file), run_name="__main__")
    except (Exception, SystemExit) as problem:
        raise InvalidInput(
            f"The script {file.name} did not come to its end: {type(problem).__name__}: {problem}",
            why="Its model is what it leaves at its end.",
            fix=f"Run it by itself first: python {file}",
        ) from problem
    finally:
        sys.argv, sys.path[:] = argv, path


def _name_of(file: Path) -> str:
    return fitting_name(file.stem)
