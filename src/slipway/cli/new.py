"""`slipway new`: a small project that runs."""

import keyword
import random
import re
from datetime import UTC, datetime, timedelta
from importlib.resources import files
from importlib.util import find_spec
from pathlib import Path

import click

from slipway.cli.door import command
from slipway.cli.from_notebook import made_from_notebook
from slipway.errors import Conflict, InvalidInput
from slipway.ids import check_name

__all__ = ["new"]


@command("new")
@click.argument("name", required=False)
@click.option(
    "--from-notebook", "notebook", type=click.Path(path_type=Path), help="Write it from this notebook, which is run."
)
@click.option("--model", default="", help="Which of the notebook's models is served, where it fits several.")
def new(name: str | None, notebook: Path | None, model: str) -> dict[str, object]:
    """Make a small project that runs, in a new folder NAME.

    With --from-notebook the project is a notebook's own: its cells become steps, unedited, and what serves a request.
    The notebook is run from top to bottom, the pipeline after it, and their values are compared.
    """
    if name is None:
        if notebook is None:
            raise InvalidInput(
                "No name was given.", why="The project's folder needs one.", fix="slipway new my-project"
            )
        name = re.sub(r"[^a-z0-9]+", "-", notebook.stem.lower()).strip("-") or "notebook"
    if model and notebook is None:
        raise InvalidInput(
            f"--model {model} was given without a notebook.",
            why="It names one of its models.",
            fix="Add --from-notebook FILE.",
        )
    folder = Path(name)
    project = check_name(folder.name, "project")
    module = _module(project)
    if notebook is not None:
        return made_from_notebook(folder, project, module, notebook, model)
    if folder.is_dir() and any(folder.iterdir()):
        raise Conflict(f"The folder {folder} exists and is not empty.", fix="Choose another name, or empty the folder.")
    try:
        (folder / "data").mkdir(parents=True, exist_ok=True)
    except OSError as problem:
        raise InvalidInput(
            f"The folder {folder} cannot be made: {problem.strerror}.", fix="Choose another place or name."
        ) from problem
    source = files("slipway.cli") / "templates" / "tabular"
    made = {
        f"{module}.py": (source / "project.py.txt").read_text(),
        "README.md": (source / "README.md.txt").read_text(),
        "slipway.toml": f'[project]\nname = "{project}"\nmodule = "{module}"\ntemplate = "tabular"\n\n[environments.dev]\nstore = ".slipway"\n',
        ".gitignore": ".slipway/\nslipway.local.toml\n__pycache__/\n",
        "data/customers.csv": _customers(),
    }
    for path, text in made.items():
        (folder / path).write_text(text.replace("@NAME@", project).replace("@MODULE@", module))
    click.echo(f"Made {folder}/ with {', '.join(made)}.", err=True)
    click.echo(f"Next: cd {folder} && slipway run release", err=True)
    return {"folder": str(folder), "files": list(made)}


def _module(project: str) -> str:
    """A module's name for the project that hides none of the libraries that it imports."""
    module = project.replace("-", "_").replace(".", "_")
    if not module.isidentifier():
        module = f"project_{module}"
    return f"{module}_project" if keyword.iskeyword(module) or find_spec(module) else module


def _customers(rows: int = 2000) -> str:
    """Simulated customers, the same every time: those with short contracts and many calls leave more often."""
    chance = random.Random(20130401)
    lines = ["customer_id,asked_at,plan,months,spent,calls,left"]
    start = datetime(2013, 1, 1, tzinfo=UTC)
    for number in range(rows):
        plan = chance.choice(["basic", "plus", "pro"])
        months = int(chance.expovariate(1 / 24))
        calls = min(int(chance.expovariate(1 / 2)), 20)
        spent = "" if chance.random() < 0.03 else f"{max(0.0, chance.gauss(25, 10)) * max(months, 1):.2f}"
        risk = 0.12 + 0.04 * calls + (0.15 if months < 6 else 0.0) - (0.08 if plan == "pro" else 0.0)
        asked = (start + timedelta(hours=number)).strftime("%Y-%m-%dT%H:%M:%S")
        lines.append(f"c{number},{asked},{plan},{months},{spent},{calls},{int(chance.random() < risk)}")
    return "\n".join(lines) + "\n"
