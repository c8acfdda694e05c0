"""`slipway new`: a small project that runs, out of a template."""

import keyword
import re
from importlib.util import find_spec
from pathlib import Path

import click

from slipway.cli.door import command
from slipway.cli.from_notebook import made_from_notebook
from slipway.cli.templates import TEMPLATES, Template, project_template
from slipway.errors import Conflict, InvalidInput
from slipway.ids import check_name

__all__ = ["new"]


@command("new")
@click.argument("name", required=False)
@click.option(
    "--template",
    default="tabular",
    metavar="TEMPLATE",
    show_default=True,
    help=f"One of {', '.join(TEMPLATES)}; or a team's own: a folder, or a Git repository.",
)
@click.option(
    "--from-notebook", "notebook", type=click.Path(path_type=Path), help="Write it from this notebook, which is run."
)
@click.option("--model", default="", help="Which of the notebook's models is served, where it fits several.")
def new(name: str | None, template: str, notebook: Path | None, model: str) -> dict[str, object]:
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
    if template == "from-notebook":
        raise InvalidInput(
            "The template from-notebook needs a notebook.",
            why="The project is written from its cells.",
            fix=f"slipway new {name} --from-notebook FILE.ipynb",
        )
    if folder.is_dir() and any(folder.iterdir()):
        raise Conflict(f"The folder {folder} exists and is not empty.", fix="Choose another name, or empty the folder.")
    with project_template(template) as found:
        made = _written(found, folder, project, module)
    click.echo(f"Made {folder}/ with {', '.join(made)}.", err=True)
    click.echo(f"Next: cd {folder}{f' && {found.first}' if found.first else ''}", err=True)
    return {"folder": str(folder), "template": found.name, "files": made}


def _written(template: Template, folder: Path, project: str, module: str) -> list[str]:
    made = []
    for path, content in template.files(project, module).items():
        target = folder / path
        try:
            target.parent.mkdir(parents=True, exist_ok=True)
        except OSError as problem:
            raise InvalidInput(
                f"The folder {target.parent} cannot be made: {problem.strerror}.", fix="Choose another place or name."
            ) from problem
        target.write_bytes(content)
        made.append(path)
    return made


def _module(project: str) -> str:
    """A module's name for the project that hides none of the libraries that it imports."""
    module = project.replace("-", "_").replace(".", "_")
    if not module.isidentifier():
        module = f"project_{module}"
    return f"{module}_project" if keyword.iskeyword(module) or find_spec(module) else module
