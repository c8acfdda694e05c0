"""`slipway run FILE.py`: a file becomes a project, where its folder is none yet."""

import keyword
from importlib.util import find_spec
from pathlib import Path

import click

from slipway.cli.templates import IGNORED
from slipway.errors import Conflict, InvalidInput, NotFound
from slipway.hosts.settings import FILE, find_folder, locate, read_settings

__all__ = ["project_of"]


def project_of(file: Path) -> Path:
    """The folder of the project that a file declares; in a folder without slipway.toml it writes one of two settings.

    The project is called as the folder is, so that runs that scripts logged there before are the same project's.

    Raises:
        NotFound: There is no such file.
        InvalidInput: Its name is none of a module, or hides a library.
        Conflict: It lies in a project whose module is another.
    """
    if not file.is_file():
        near = ", ".join(sorted(path.name for path in file.resolve().parent.glob("*.py")))
        raise NotFound(f"There is no file {file}.", fix=f"Python files there: {near}" if near else "Write it first.")
    folder, module = file.resolve().parent, file.stem
    try:
        home = find_folder(folder)
    except NotFound:
        _check_module(file)
        _, settings = locate(folder, implicit=True)
        (folder / FILE).write_text(f'[project]\nname = "{settings.project.name}"\nmodule = "{module}"\n')
        if not (folder / ".gitignore").exists():  # the store holds the key that signs
            (folder / ".gitignore").write_text(IGNORED)
        click.echo(f"Wrote {FILE}: this folder is the project {settings.project.name!r} from now on.", err=True)
        return folder
    named = read_settings(home).project.module
    if home != folder or named != module:
        raise Conflict(
            f"{file} lies in the project of {home}, whose module is {named!r}.",
            why="A project is declared by one module.",
            fix=f'Run a pipeline of that: slipway run PIPELINE; or write module = "{module}" into {home / FILE}, '
            "or give this file a folder of its own.",
        )
    return home


def _check_module(file: Path) -> None:
    module = file.stem
    if not module.isidentifier() or keyword.iskeyword(module):
        better = "".join(letter if letter.isalnum() else "_" for letter in module)
        raise InvalidInput(
            f"{file.name} cannot be imported under the name {module!r}.", fix=f"Rename it, to {better}.py for example."
        )
    found = find_spec(module)
    if found is not None and (found.origin is None or Path(found.origin).resolve() != file.resolve()):
        raise InvalidInput(
            f"{file.name} is called as an installed library is, {module!r}, and would hide it.",
            fix=f"Rename it, to my_{module}.py for example.",
        )
