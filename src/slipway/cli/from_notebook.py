"""`slipway new --from-notebook`: a project out of a notebook, proven by running both."""

import json
import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import click

from slipway.cli.templates import IGNORED, plain_settings
from slipway.errors import Conflict, InvalidInput
from slipway.hashing import digest

__all__ = ["made_from_notebook"]

_KEPT = "notebook.json"
_TITLE = "The notebook, and what was written from it: `slipway new --from-notebook` writes over what nobody changed."


def made_from_notebook(folder: Path, project: str, module: str, notebook: Path, model: str) -> dict[str, object]:
    """Write the project into a folder, run its pipeline, and take everything back when it gives other values.

    Raises:
        Conflict: The folder holds something else.
        InvalidInput: The notebook cannot become a project, or the pipeline's values are not the notebook's.
    """
    from slipway.flows.from_notebook import draft
    from slipway.flows.notebook_proof import compare
    from slipway.hosts.project import open_project

    before = _present(folder, module)
    drafted = draft(notebook, project=project, model=model, say=lambda line: click.echo(line, err=True))
    files = _files(project, module, drafted)
    try:
        _write(folder, files, drafted.files)
        click.echo("Running it as a pipeline.", err=True)
        run_id = _run(folder)
        with open_project(folder) as opened:
            equal = compare(opened.workspace, run_id, drafted)
    except BaseException:
        _take_back(folder, before)
        raise
    for note in drafted.notes:
        click.echo(f"  {note}", err=True)
    click.echo(
        f"Made {folder}/: {len(drafted.written.steps)} steps; {equal} values are the notebook's own, and {drafted.rows_alone} "
        f"rows prepared alone are what they are among all.",
        err=True,
    )
    asked = ", ".join(drafted.made.columns)
    click.echo(f"A request carries: {asked}", err=True)
    click.echo(f"Next: cd {folder} && slipway deploy {project}", err=True)
    return {
        "folder": str(folder),
        "files": sorted([*files, *drafted.files]),
        "model": drafted.model,
        "request": drafted.made.columns,
        "steps": list(drafted.written.steps),
        "equal_values": equal,
        "rows_alone": drafted.rows_alone,
        "notes": drafted.notes,
        "run": run_id,
    }


def _present(folder: Path, module: str) -> dict[str, bytes] | None:
    """What was written from a notebook before and nobody changed; None where the folder is new or empty.

    Raises:
        Conflict: There is something else.
    """
    if not folder.is_dir() or not any(folder.iterdir()):
        return None
    try:
        kept = json.loads((folder / _KEPT).read_text("utf-8"))
        files = {name: (folder / name).read_bytes() for name in [_KEPT, *kept["files"]]}
        changed = [name for name, known in kept["files"].items() if digest(files[name]) != known]
    except (OSError, ValueError, KeyError, TypeError):
        raise Conflict(
            f"The folder {folder} exists and is not empty.", fix="Choose another name, or empty the folder."
        ) from None
    if changed:
        raise Conflict(
            f"{folder / changed[0]} was changed since it was written from the notebook.",
            fix="Choose another name, or take the change into the notebook and remove the file's folder.",
        )
    return files


def _files(project: str, module: str, drafted: Any) -> dict[str, bytes]:
    from slipway.models.frames import is_frame, plain_rows, take

    columns, raw = list(drafted.made.columns), drafted.made.raw
    row = plain_rows(take(raw, [0]), columns)[0] if is_frame(raw) else [float(value) for value in raw[0]]
    asked = shlex.quote(json.dumps(dict(zip(columns, row, strict=True)), default=str))
    readme = (
        f"# {project}\n\nWritten from `{drafted.notebook.path.name}`; the cells' lines are in `{module}.py`, unedited.\n\n```\n"
        f"slipway run release\nslipway deploy {project}\nslipway predict {project} {asked}\n```\n\n"
        + "".join(f"- {note}\n" for note in drafted.notes)
    )
    settings = plain_settings("from-notebook", project, module)
    texts = {
        f"{module}.py": drafted.text,
        "README.md": readme,
        "slipway.toml": settings,
        ".gitignore": IGNORED,
    }
    if drafted.requirements:
        texts["requirements.txt"] = "".join(f"{one}\n" for one in drafted.requirements)
    files = {name: text.encode() for name, text in texts.items()}
    kept = {"about": _TITLE, "notebook": str(drafted.notebook.path), "files": {n: digest(b) for n, b in files.items()}}
    return files | {_KEPT: json.dumps(kept, indent=1).encode()}


def _write(folder: Path, files: dict[str, bytes], copied: dict[str, Path]) -> None:
    try:
        for name, source in copied.items():
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            if source.resolve() != (folder / name).resolve():
                shutil.copyfile(source, folder / name)
        for name, data in files.items():
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            (folder / name).write_bytes(data)
    except OSError as problem:
        raise InvalidInput(
            f"The folder {folder} cannot be made: {problem.strerror}.", fix="Choose another place or name."
        ) from problem


def _run(folder: Path) -> str:
    """Run the pipeline in a process of its own, which shares nothing with the notebook's; returns the run's id."""
    command = [sys.executable, "-P", "-m", "slipway", "run", "release"]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
    finished = re.findall(r"^Run (\S+) finished\.$", done.stdout, re.MULTILINE)  # the notebook's cells print too
    if done.returncode or not finished:
        said = re.sub(r"\s+", " ", done.stderr.rpartition("Error: ")[2].strip() or done.stdout.strip())
        raise InvalidInput(
            f"The pipeline that was written from the notebook does not run through: {said[:800]}",
            why="Nothing is kept that does not give the notebook's own values.",
            fix="Mend what it names in the notebook, and try again.",
        )
    return str(finished[-1])


def _take_back(folder: Path, before: dict[str, bytes] | None) -> None:
    if before is None:
        shutil.rmtree(folder, ignore_errors=True)
        return
    for name, data in before.items():
        (folder / name).write_bytes(data)
