"""The reference pages say what the code says."""

import importlib.util
import posixpath
import re
from fnmatch import fnmatch
from importlib import import_module
from pathlib import Path
from typing import get_args, get_origin

import click
import msgspec
import pytest
from msgspec import Struct

import slipway
from slipway import conformance, ports, testing
from slipway.cli import main
from slipway.hosts.settings import Settings
from slipway.operations.table import OPERATIONS

DOCS = Path(__file__).parents[2] / "docs"
REFERENCE = DOCS / "reference"
SOURCE = Path(slipway.__file__).parent
PLUG_INS = REFERENCE / "names" / "plug-ins.md"


def _pages() -> dict[str, str]:
    spec = importlib.util.spec_from_file_location("generate", DOCS / "generate.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    pages: dict[str, str] = module.pages()
    return pages


def test_reference_pages_are_what_the_code_says(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    made = _pages()
    written = {path.relative_to(REFERENCE).as_posix(): path.read_text() for path in REFERENCE.rglob("*.md")}
    stale = {name for name in {*made, *written} if written.get(name) != made.get(name, "").rstrip() + "\n"}
    assert not stale, "Type `make docs` and commit what it writes; remove pages that it does not."


def test_every_public_name_has_an_entry() -> None:
    names = {f"sw.{name}" for name in slipway.__all__ if name != "errors"} | {
        f"testing.{name}" for name in testing.__all__
    }
    for package in (conformance, ports):
        for path in Path(package.__path__[0]).glob("[!_]*.py"):
            names |= set(getattr(import_module(f"{package.__name__}.{path.stem}"), "__all__", ()))
    told = headings(REFERENCE / "names")
    plain = set(re.findall(r"`(\w+)`", "".join(re.findall(r"^Values and types: .*$", PLUG_INS.read_text(), re.M))))
    assert names - told - plain == set()


def test_every_command_and_option_has_an_entry() -> None:
    page = (REFERENCE / "commands.md").read_text()
    parts = dict(re.findall(r"^##+ (slipway [^\n]+)\n(.*?)(?=^##|\Z)", page, re.S | re.M))

    def walk(command: click.Command, path: str) -> None:
        for one in command.params:
            assert isinstance(one, click.Argument) or one.hidden or one.opts[0] in parts[path], f"{path} {one.opts}"
        if isinstance(command, click.Group):
            for name in command.list_commands(click.Context(command)):
                found = command.get_command(click.Context(command), name)
                assert found is not None
                walk(found, f"{path} {name}")

    for name in main.list_commands(click.Context(main)):
        command = main.get_command(click.Context(main), name)
        assert command is not None
        walk(command, f"slipway {name}")


def test_every_key_of_the_settings_has_an_entry() -> None:
    page = (REFERENCE / "settings.md").read_text()

    def walk(kind: type[Struct], section: str) -> None:
        for field in msgspec.structs.fields(kind):
            inner = [
                one for one in (field.type, *get_args(field.type)) if isinstance(one, type) and issubclass(one, Struct)
            ]
            for one in inner:
                repeated = get_origin(field.type) is dict
                name = f"{section}.{field.name}".strip(".") + (
                    (".STAGE" if field.name == "raci" else ".NAME") if repeated else ""
                )
                assert f"## [{name}]\n" in page
                walk(one, name)
            if not inner:
                assert re.search(
                    rf"^## \[{re.escape(section)}\]\n(?:(?!^## ).)*^\| {field.name} \|.*\w.* \|$", page, re.S | re.M
                ), field

    walk(Settings, "")


def test_every_operation_and_field_has_an_entry() -> None:
    page = (REFERENCE / "operations.md").read_text()
    parts = dict(re.findall(r"^## (\S+)\n(.*?)(?=^## |\Z)", page, re.S | re.M))
    assert set(parts) == set(OPERATIONS)
    for name, operation in OPERATIONS.items():
        assert operation.path in parts[name]
        assert all(f"\n| {field} |" in parts[name] for field in operation.request.__struct_fields__), name


def test_every_code_of_an_error_has_an_entry_that_says_what_to_do() -> None:
    bases = {name: names for path in SOURCE.rglob("*.py") for name, names in classes(path)}
    known = {"SlipwayError"}
    while more := {name for name, names in bases.items() if names & known} - known:
        known |= more
    parts = dict(re.findall(r"^## (\w+)\n(.*?)(?=^## |\Z)", (REFERENCE / "errors.md").read_text(), re.S | re.M))
    assert {
        name for name in known if not re.search(r"\*\*When\.\*\*.*\*\*To do\.\*\* \w", parts.get(name, ""), re.S)
    } == set()


def test_every_page_is_in_one_list_of_the_site() -> None:
    """What the site's build refuses too, without it."""
    pages = {path.relative_to(DOCS).with_suffix("").as_posix() for path in DOCS.rglob("*.md")}
    listed: list[str] = []
    for page in pages:
        for block in re.findall(r"^```\{toctree\}\n(.*?)^```", (DOCS / f"{page}.md").read_text(), re.S | re.M):
            for line in block.splitlines():
                if line and not line.startswith(":"):
                    wanted = posixpath.normpath(posixpath.join(posixpath.dirname(page), line))
                    listed += [one for one in pages if fnmatch(one, wanted) and one.count("/") == wanted.count("/")]
    assert sorted(listed) == sorted(pages - {"index"}), "Name each page in one list, of docs/index.md or docs/how-to/."


def headings(folder: Path) -> set[str]:
    return {line for path in folder.glob("*.md") for line in re.findall(r"^#+ (\S+)$", path.read_text(), re.M)}


def classes(path: Path) -> list[tuple[str, set[str]]]:
    found = re.findall(r"^class (\w+)\(([^)]*)\):", path.read_text(), re.M)
    return [(name, set(re.split(r"\W+", bases))) for name, bases in found]


def test_links_between_pages_lead_somewhere() -> None:
    pages = [
        DOCS.parent / "README.md",
        DOCS.parent / "CONTRIBUTING.md",
        *DOCS.rglob("*.md"),
    ]
    for page in pages:
        for target in re.findall(r"\]\((?!https?:)([^)#]+)", page.read_text()):
            assert (page.parent / target).exists(), f"{page.name} links to {target}, which is not there"


def test_the_architecture_page_names_every_room() -> None:
    text = (DOCS / "architecture.md").read_text()
    rooms = [path.name for path in (DOCS.parent / "src" / "slipway").iterdir() if (path / "__init__.py").exists()]
    missing = [room for room in rooms if f"{room}/" not in text and room != "code"]
    assert not missing
