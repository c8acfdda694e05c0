"""`slipway data history | diff | tag | branch | merge | alter | compact | clean`: versions of tables and their care."""

from collections.abc import Iterable

import click

from slipway.cli.door import Door, opened
from slipway.cli.layout import columns, instant
from slipway.errors import InvalidInput
from slipway.operations.table_versions import Cleaned, TableHistory, TableState
from slipway.records.table_changes import CleanedTable, TableDiff

__all__ = ["COMMANDS"]


@click.command()
@click.argument("name", metavar="TABLE")
@opened
def history(door: Door, name: str) -> None:
    """List a table's versions with what names them."""
    door.show(door.call("tables.history", name=name), _history_text)


@click.command()
@click.argument("name", metavar="TABLE")
@click.argument("before", metavar="VERSION")
@click.argument("after", metavar="[VERSION]", default="main")
@click.option("--sample", metavar="N", type=click.IntRange(0, 1000), default=5, help="How many changed rows to show.")
@opened
def diff(door: Door, name: str, before: str, after: str, sample: int) -> None:
    """Say what differs between two versions of a table.

    A version is a number, a hash or its beginning, a tag, a branch, an instant or a date.
    """
    door.show(door.call("tables.diff", name=name, before=before, after=after, sample=sample), _diff_text)


@click.command()
@click.argument("name", metavar="TABLE")
@click.argument("tag", metavar="TAG")
@click.argument("version", metavar="[VERSION]", default="")
@click.option("--move", is_flag=True, help="Move a tag that names another version.")
@click.option("--drop", is_flag=True, help="Take the tag away.")
@opened
def tag_(door: Door, name: str, tag: str, version: str, move: bool, drop: bool) -> None:
    """Give a version of a table a name. It is then kept by every cleaning."""
    made: TableState = door.call("tables.tag", name=name, tag=tag, version=version, move=move, drop=drop)
    said = "no longer names" if drop else "names"
    door.show(made, lambda state: f"{tag} {said} version {state.version.number} of {name}.")


@click.command()
@click.argument("name", metavar="TABLE")
@click.argument("branch", metavar="BRANCH")
@click.argument("version", metavar="[VERSION]", default="")
@click.option("--drop", is_flag=True, help="Take the branch away.")
@opened
def branch_(door: Door, name: str, branch: str, version: str, drop: bool) -> None:
    """Begin a branch of a table, which is written on its own. Nothing is copied."""
    made: TableState = door.call("tables.branch", name=name, branch=branch, version=version, drop=drop)
    said = "is gone; it ended at" if drop else "begins at"
    door.show(made, lambda state: f"The branch {branch} {said} version {state.version.number} of {name}.")


@click.command()
@click.argument("name", metavar="TABLE")
@click.argument("branch", metavar="BRANCH")
@opened
def merge(door: Door, name: str, branch: str) -> None:
    """Bring what a branch added into its table."""
    door.show(door.call("tables.merge", name=name, branch=branch), _state_text)


@click.command()
@click.argument("name", metavar="TABLE")
@click.option("--add", "added", metavar="COLUMN:TYPE", multiple=True, help="A new column, null in the rows there are.")
@click.option("--rename", "renamed", metavar="OLD:NEW", multiple=True, help="A column's new name.")
@click.option("--drop", metavar="COLUMN", multiple=True, help="A column to leave out.")
@click.option(
    "--widen", "widened", metavar="COLUMN:TYPE", multiple=True, help="A wider type: int64, float64, datetime."
)
@click.option("--branch", metavar="BRANCH", default="", help="Change a branch of the table.")
@opened
def alter(
    door: Door,
    name: str,
    added: tuple[str, ...],
    renamed: tuple[str, ...],
    drop: tuple[str, ...],
    widened: tuple[str, ...],
    branch: str,
) -> None:
    """Add, rename, drop or widen columns. No stored row is written again."""
    changes = {"add": _pairs(added, "add"), "rename": _pairs(renamed, "rename"), "widen": _pairs(widened, "widen")}
    if not (added or renamed or drop or widened):
        raise InvalidInput(
            f"Nothing is to be altered in the table {name!r}.", fix="Give --add, --rename, --drop or --widen."
        )
    door.show(door.call("tables.alter", name=name, drop=drop, branch=branch, **changes), _state_text)


@click.command()
@click.argument("name", metavar="TABLE")
@click.option("--branch", metavar="BRANCH", default="", help="Compact a branch of the table.")
@opened
def compact(door: Door, name: str, branch: str) -> None:
    """Write a table's small parts as full ones. The content stays the same."""
    door.show(door.call("tables.compact", name=name, branch=branch), _state_text)


@click.command()
@click.argument("names", metavar="[TABLE]...", nargs=-1)
@click.option(
    "--keep", metavar="N", type=click.IntRange(1), default=10, show_default=True, help="Newest versions to keep."
)
@click.option(
    "--grace-days",
    metavar="DAYS",
    type=click.FloatRange(0),
    default=7.0,
    show_default=True,
    help="What is younger stays.",
)
@click.option("--dry-run", is_flag=True, help="Only say what would go.")
@opened
def clean(door: Door, names: tuple[str, ...], keep: int, grace_days: float, dry_run: bool) -> None:
    """Give back the space of versions that no head, branch, tag, run or model names."""
    done = door.call("tables.clean", names=names, keep=keep, grace_days=grace_days, dry_run=dry_run)
    door.show(done, _cleaned_text)


COMMANDS: dict[str, click.Command] = {
    "history": history,
    "diff": diff,
    "tag": tag_,
    "branch": branch_,
    "merge": merge,
    "alter": alter,
    "compact": compact,
    "clean": clean,
}
"""The commands that `slipway data` has from this file, by name."""


def _pairs(given: Iterable[str], option: str) -> dict[str, str]:
    pairs = {}
    for each in given:
        left, colon, right = each.partition(":")
        if not (left and colon and right):
            raise InvalidInput(f"--{option} {each} is no pair.", fix=f"Write it with a colon: --{option} NAME:VALUE.")
        pairs[left] = right
    return pairs


def _state_text(answer: TableState) -> str:
    version = answer.version
    return f"{version.name}: version {version.number} ({version.version[:12]}), {version.rows:,} rows. {version.source}".rstrip()


def _history_text(answer: TableHistory) -> str:
    names: dict[str, list[str]] = {answer.head: ["main"]}
    for kind, refs in (("tag", answer.tags), ("branch", answer.branches)):
        for name, version in refs.items():
            names.setdefault(version, []).append(f"{kind} {name}")
    rows = [
        (
            str(version.number),
            version.version[:12],
            version.change if version.cleaned_at is None else f"{version.change} (cleaned away)",
            f"{version.rows:,}",
            f"{version.added_rows:,}",
            f"{version.changed_rows:,}",
            instant(version.created_at),
            ", ".join(names.get(version.version, [])),
            version.source,
        )
        for version in answer.versions
    ]
    head = ("version", "hash", "change", "rows", "added", "changed", "made (UTC)", "named", "from")
    return columns(head, rows, empty="")


def _diff_text(answer: TableDiff) -> str:
    lines = [f"{answer.table}: version {answer.before} to version {answer.after}", *answer.words]
    if answer.sample:
        lines.append("For example:")
    for row in answer.sample:
        lines.append(f"  {row.key}: " + ", ".join(f"{name} {old} -> {new}" for name, old, new in row.columns))
    return "\n".join(lines)


def _cleaned_text(answer: Cleaned) -> str:
    return "\n".join(_cleaned_line(table, answer.dry_run) for table in answer.tables) or "There are no tables yet."


def _cleaned_line(table: CleanedTable, dry_run: bool) -> str:
    gone = ", ".join(map(str, table.versions)) or "none"
    verb = "would free" if dry_run else "freed"
    return (
        f"{table.table}: {verb} {table.bytes / 1e6:,.1f} MB in {table.parts:,} parts; "
        f"versions without their rows from now on: {gone}; {table.kept:,} stay."
    )
