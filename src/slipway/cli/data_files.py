"""`slipway data files`: versioned file sets."""

from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import click

from slipway.cli.door import Door, opened
from slipway.cli.layout import columns, count, instant
from slipway.operations.files import FileDifferences, FileEntries, FileSetDetail, FileSets
from slipway.tables.file_folders import add_folder, check_out, read_file
from slipway.tables.filesets import resolve

__all__ = ["files"]

_SHOWN = 20
F = TypeVar("F", bound=Callable[..., Any])


def _version(function: F) -> F:
    return click.option("--version", default="", metavar="V", help="A version's number or hash; the current one.")(
        function
    )


@click.group()
def files() -> None:
    """Keep folders of files in versions: add, list, compare and check out."""


@files.command()
@click.argument("name", metavar="NAME")
@click.argument("place", metavar="FOLDER", type=click.Path(path_type=Path))
@opened
def add(door: Door, name: str, place: Path) -> None:
    """Make a folder's files the current version of a file set. Only new bytes are stored."""
    made = add_folder(door.workspace, name, place)
    if door.as_json:
        door.show(made, str)


@files.command("list")
@opened
def list_(door: Door) -> None:
    """List the file sets with their current versions."""
    door.show(door.call("files.list"), _list_text)


@files.command()
@click.argument("name", metavar="NAME")
@_version
@click.option("--files", "entries", is_flag=True, help="List the files of a version.")
@click.option("--under", default="", metavar="PATH", help="Only files whose path begins with this.")
@opened
def show(door: Door, name: str, version: str, entries: bool, under: str) -> None:
    """Show a file set's versions, or the files of one."""
    if entries or under:
        door.show(door.call("files.entries", name=name, version=version, under=under), _entries_text)
    else:
        door.show(door.call("files.get", name=name, version=version), _versions_text)


@files.command()
@click.argument("name", metavar="NAME")
@click.argument("earlier", metavar="EARLIER")
@click.argument("later", metavar="[LATER]", default="")
@opened
def diff(door: Door, name: str, earlier: str, later: str) -> None:
    """Say which files two versions do not share; the later one is the current one if missing."""
    door.show(door.call("files.diff", name=name, earlier=earlier, later=later), _diff_text)


@files.command()
@click.argument("name", metavar="NAME")
@click.argument("place", metavar="FOLDER", type=click.Path(path_type=Path))
@click.argument("paths", metavar="[PATH]...", nargs=-1)
@_version
@click.option("--link", is_flag=True, help="Share the store's bytes: no space is needed, files are read-only.")
@click.option("--force", is_flag=True, help="Overwrite files that have another content.")
@opened
def checkout(door: Door, name: str, place: Path, paths: tuple[str, ...], version: str, link: bool, force: bool) -> None:
    """Write a version's files, or those of some paths, into a folder. Other files there stay."""
    found = resolve(door.workspace, name, version)
    done = check_out(door.workspace, found, place, paths=paths, link=link, force=force)
    linked = f", {done.linked:,} of them linked" if done.linked else ""
    door.show(
        done,
        lambda _: (
            f"Version {found.number} of {name} is in {place}: {count(done.written, 'file')} written{linked}, "
            f"{done.unchanged:,} unchanged"
        ),
    )


@files.command()
@click.argument("name", metavar="NAME")
@click.argument("path", metavar="PATH")
@_version
@opened
def cat(door: Door, name: str, path: str, version: str) -> None:
    """Write one file's bytes to the output."""
    data = read_file(door.workspace, name, path, version)
    click.echo(data, nl=False)


def _list_text(answer: FileSets) -> str:
    rows = [
        (one.name, str(one.number), f"{one.files:,}", f"{one.size_bytes:,}", instant(one.created_at), one.source)
        for one in answer.filesets
    ]
    return columns(
        ("file set", "version", "files", "bytes", "added (UTC)", "from"),
        rows,
        empty="There are no file sets yet. Make one: slipway data files add NAME FOLDER",
    )


def _versions_text(answer: FileSetDetail) -> str:
    rows = [
        (
            str(one.number),
            one.version[:12],
            f"{one.files:,}",
            f"{one.size_bytes:,}",
            f"+{one.added:,} ~{one.changed:,} -{one.removed:,}",
            f"{one.stored_bytes:,}",
            instant(one.created_at),
            one.source,
        )
        for one in answer.versions
    ]
    return columns(
        ("version", "hash", "files", "bytes", "files new, changed, gone", "stored", "added (UTC)", "from"),
        rows,
        empty="",
    )


def _entries_text(answer: FileEntries) -> str:
    rows = [(f"{one.size_bytes:,}", one.digest[:12], one.path) for one in answer.files]
    return columns(("bytes", "digest", "path"), rows, empty="It has no such files.")


def _diff_text(answer: FileDifferences) -> str:
    groups = (("added", answer.added), ("removed", answer.removed), ("changed", answer.changed))
    told = ", ".join(f"{len(paths):,} {word}" for word, paths in groups)
    lines = [f"From version {answer.earlier.number} to version {answer.later.number}: {told}"]
    for word, paths in groups:
        lines += [f"  {word:8} {path}" for path in paths[:_SHOWN]]
        if len(paths) > _SHOWN:
            lines.append(f"  {word:8} ... and {len(paths) - _SHOWN:,} more: --json lists all")
    return "\n".join(lines)
