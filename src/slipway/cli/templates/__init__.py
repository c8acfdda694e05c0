"""Templates of projects: a folder of files in which the project's name and its module's name are put in.

In the names of files and in texts, `@NAME@` becomes the project's name and `@MODULE@` that of its module. A name's last
`.tmpl` falls away, so that a template's Python files need not be Python yet. Files of other encodings are copied as they are.
A template that has no `slipway.toml` or `.gitignore` gets a plain one.
"""

import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.resources import as_file, files
from pathlib import Path

from slipway.cli.template_data import DATA
from slipway.errors import InvalidInput, NotFound, near

__all__ = ["IGNORED", "TEMPLATES", "Template", "plain_settings", "project_template"]

TEMPLATES = (*DATA, "from-notebook")
_SETTINGS = """\
[project]
name = "@NAME@"
module = "@MODULE@"
template = "{name}"

[environments.dev]
store = ".slipway"

[environments.test]
store = ".slipway-test"

[environments.prod]
store = ".slipway-prod"
"""
IGNORED = ".slipway*/\nslipway.local.toml\n__pycache__/\n"
_LEFT_OUT = {".git", "__pycache__", ".slipway", ".slipway-test", ".slipway-prod", ".DS_Store"}
_FETCH_S = 120


@dataclass(frozen=True, slots=True)
class Template:
    """What a project is made of.

    Args:
        name: What `slipway.toml` calls it.
        folder: Where its files lie.
        first: The first command in the project, "" where its README says it.
    """

    name: str
    folder: Path
    first: str = ""

    def files(self, project: str, module: str) -> dict[str, bytes]:
        """By path what a project gets.

        Args:
            project: Its name.
            module: The name of its module.

        Raises:
            InvalidInput: The template holds no files, a symbolic link, or two files that become one.
        """
        found: dict[str, bytes] = {}
        for path in sorted(self.folder.rglob("*")):
            inside = path.relative_to(self.folder)
            if _LEFT_OUT & set(inside.parts):
                continue
            if path.is_symlink():
                raise InvalidInput(
                    f"{inside} of the template {self.name} is a symbolic link.",
                    why="A link may lead out of the template, and be another file on another machine.",
                    fix="Put the file itself there.",
                )
            if path.is_dir():
                continue
            name = _put_in(str(inside), project, module).removesuffix(".tmpl")
            if name in found:
                raise InvalidInput(
                    f"Two files of the template {self.name} become {name}.", fix=f"Rename one of them in {self.folder}."
                )
            found[name] = _content(path, project, module)
        if not found:
            raise InvalidInput(
                f"The template {self.name} holds no files.", why=f"It is {self.folder}.", fix="Name another folder."
            )
        found.setdefault("slipway.toml", plain_settings(self.name, project, module).encode())
        found.setdefault(".gitignore", IGNORED.encode())
        for name, make in DATA.get(self.name, {}).items():
            found.setdefault(name, make().encode())
        return found


def plain_settings(template: str, project: str, module: str) -> str:
    """What slipway.toml of a new project says: a store of its own for each environment."""
    return _put_in(_SETTINGS.format(name=template), project, module)


@contextmanager
def project_template(given: str) -> Iterator[Template]:
    """The template of a name, in a folder, or in a Git repository, which is cloned for as long as the block runs.

    Raises:
        NotFound: There is none.
        InvalidInput: The repository cannot be cloned.
    """
    if given in DATA:
        with as_file(files("slipway.cli.templates") / given) as folder:
            first = "slipway run release"
            if given == "existing-model":
                first = f"python trained_elsewhere.py && {first}"
            yield Template(given, folder, first)
    elif Path(given).is_dir() and not (Path(given) / "HEAD").exists():
        yield Template(Path(given).resolve().name, Path(given).resolve())
    elif "://" in given or "@" in given or given.endswith(".git"):
        with tempfile.TemporaryDirectory(prefix="slipway-template-") as home:
            yield Template(Path(given.rstrip("/")).name.removesuffix(".git"), _cloned(given, Path(home) / "template"))
    else:
        raise NotFound(
            f"There is no template {given!r}.",
            fix=f"{near(given, TEMPLATES, what='templates')} Or name a folder or a Git repository with a team's own.",
        )


def _cloned(address: str, folder: Path) -> Path:
    command = ["git", "clone", "--quiet", "--depth", "1", "--", address, str(folder)]
    try:
        subprocess.run(command, check=True, capture_output=True, text=True, timeout=_FETCH_S)
    except FileNotFoundError as problem:
        raise InvalidInput(
            f"The template {address} is a Git repository, and there is no git.",
            fix="Install git, or clone it elsewhere and name the folder.",
        ) from problem
    except subprocess.TimeoutExpired as problem:
        raise InvalidInput(
            f"The template {address} was not there after {_FETCH_S} seconds.", fix="Clone it, and name the folder."
        ) from problem
    except subprocess.CalledProcessError as problem:
        said = (problem.stderr.strip().splitlines() or ["git said nothing"])[-1]
        raise InvalidInput(
            f"The template {address} cannot be cloned: {said}", fix="Check the address: git clone " + address
        ) from problem
    return folder


def _content(path: Path, project: str, module: str) -> bytes:
    content = path.read_bytes()
    try:
        return _put_in(content.decode(), project, module).encode()
    except UnicodeDecodeError:
        return content  # a picture, a model: nothing to put in


def _put_in(text: str, project: str, module: str) -> str:
    return text.replace("@NAME@", project).replace("@MODULE@", module)
