"""Anchors: the audit log's signed roots, written elsewhere too.

Whoever holds a store's folder and its key can write another history and seal it anew; every seal of it would hold. What
they cannot change is what lies elsewhere: lines of a file on another disk, annotated tags of a repository that was pushed.
Each line names one root by the digest of its bytes, and with it, since roots are chained, all before it.

    file:../elsewhere/roots.log     lines are appended and on the disk before the next one is written
    git:../audit-roots                an annotated tag `slipway-root-N` a root, on a blob that holds the same line
"""

from __future__ import annotations

import base64
import fcntl
import os
import subprocess
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

import msgspec

from slipway.errors import BackendError, Corrupt, InvalidSetting, NotFound, SlipwayError
from slipway.ledger import events
from slipway.operations.audit import AnchorState
from slipway.ports.signer import Signer
from slipway.ports.workspace import Workspace
from slipway.records.events import Root
from slipway.whole_files import write_whole

__all__ = ["anchors_of", "catch_up", "check_anchor", "compare", "lines_of", "look", "remember"]

ANCHORS_FILE = "audit.anchors"
_TAG = "slipway-root-"
_WITHIN_S = 60
_REBUILT = "The log was rebuilt, or a root was altered, after this line was written; or the anchor is another ledger's."


class _Envelope(msgspec.Struct):
    payload: str


def check_anchor(text: str) -> None:
    """Refuse a setting that names no anchor.

    Raises:
        InvalidSetting: It begins with neither "file:" nor "git:", or names nothing.
    """
    kind, _, place = text.partition(":")
    if kind not in ("file", "git") or not place:
        raise InvalidSetting(
            f"The setting anchor names {text!r}.",
            why="An anchor is a file or a git repository.",
            fix='For example: anchor = ["file:../elsewhere/roots.log", "git:../audit-roots"]',
        )


def remember(root: Path, project: str, anchors: Iterable[str], *, base: Path) -> None:
    """Keep in a store's folder where a project's settings want its roots written, for whoever seals there.

    Args:
        root: The store's folder.
        project: Whose settings; several projects of one store may name several anchors.
        anchors: As slipway.toml has them.
        base: Where relative paths of them begin.
    """
    file = root / "keys" / ANCHORS_FILE
    kept = _kept(root)
    wanted = {**kept, project: tuple(_absolute(text, base) for text in anchors)}
    wanted = {name: named for name, named in sorted(wanted.items()) if named}
    if wanted != kept:
        file.parent.mkdir(parents=True, exist_ok=True)
        write_whole(file, msgspec.json.format(msgspec.json.encode(wanted)))


def anchors_of(root: Path) -> list[str]:
    """The anchors that a store's folder remembers, each once."""
    return list(dict.fromkeys(anchor for named in _kept(root).values() for anchor in named))


def catch_up(workspace: Workspace) -> tuple[AnchorState, ...]:
    """Write every root that an anchor lacks into it, whatever became of earlier attempts; one state an anchor.

    What an anchor holds is compared first: nothing is added to one that says another history.
    """
    named = anchors_of(workspace.root)
    if not named:
        return ()
    with workspace.ledger.read() as tx:
        roots = tx.written_roots()
    return tuple(_caught_up(workspace, anchor, roots) for anchor in named)


def look(workspace: Workspace) -> tuple[AnchorState, ...]:
    """Compare what every anchor holds with the ledger, changing nothing.

    Raises:
        Corrupt: One names another root than the ledger has, or one that it lacks.
    """
    named = anchors_of(workspace.root)
    if not named:
        return ()
    with workspace.ledger.read() as tx:
        roots = tx.written_roots()
    states = []
    for anchor in named:
        try:
            lines = lines_of(anchor)
        except (NotFound, BackendError) as problem:
            states.append(AnchorState(anchor=anchor, roots=0, problem=str(problem)))
            continue
        states.append(AnchorState(anchor=anchor, roots=compare(anchor, lines, roots, signer=workspace.signer)))
    return tuple(states)


def lines_of(anchor: str) -> list[str]:
    """The lines that an anchor holds; [] for one that nobody wrote to yet.

    Raises:
        NotFound: There is no such repository.
        BackendError: It cannot be read.
    """
    kind, _, place = anchor.partition(":")
    return _git_lines(Path(place)) if kind == "git" else _file_lines(Path(place))


def compare(
    anchor: str, lines: Sequence[str], roots: Sequence[tuple[Root, bytes]], *, signer: Signer | None = None
) -> int:
    """Compare an anchor's lines with a ledger's roots.

    Args:
        anchor: Its name, for the sentence.
        lines: What it holds.
        roots: The ledger's, in order, beside their bytes.
        signer: Checks each line's signature too, where the store's keys are at hand.

    Returns:
        How many roots the anchor names.

    Raises:
        Corrupt: A line cannot be read, names another root than the ledger has, or one that the ledger lacks.
    """
    links = {root.index: events.link_of(data) for root, data in roots}
    for number, line in enumerate(lines, 1):
        index, link = _named(anchor, number, line)
        if signer is not None:
            signer.verify(line.encode(), events.HEAD_TYPE)
        if index not in links:
            raise Corrupt(
                f"{anchor} names root {index} of the audit log, which the ledger does not have: its end was cut off.",
                fix="Restore the ledger from a backup; keep the damaged one.",
            )
        if links[index] != link:
            raise Corrupt(
                f"Root {index} of the audit log is not the one that {anchor} names in line {number}.",
                why=_REBUILT,
                fix="Compare with a backup of the ledger; keep both.",
            )
    return len({_named(anchor, number, line)[0] for number, line in enumerate(lines, 1)})


def _kept(root: Path) -> Mapping[str, tuple[str, ...]]:
    file = root / "keys" / ANCHORS_FILE
    try:
        return msgspec.json.decode(file.read_bytes(), type=dict[str, tuple[str, ...]])
    except FileNotFoundError:
        return {}
    except msgspec.DecodeError as problem:
        raise Corrupt(
            f"{file} cannot be read: {problem}.", fix="Remove it: the next command in the project writes it anew."
        ) from problem


def _absolute(text: str, base: Path) -> str:
    kind, _, place = text.partition(":")
    return f"{kind}:{(base / Path(place).expanduser()).resolve()}"


def _caught_up(workspace: Workspace, anchor: str, roots: Sequence[tuple[Root, bytes]]) -> AnchorState:
    kind, _, place = anchor.partition(":")
    try:
        if kind == "git":
            held = _git_lines(Path(place))
            for index, line in _missing(workspace, anchor, held, roots):
                _tag(Path(place), index, line)
        else:
            _append_missing(workspace, anchor, Path(place), roots)
    except (SlipwayError, OSError) as problem:
        told = str(problem) if isinstance(problem, SlipwayError) else f"{anchor} cannot be written: {problem}."
        return AnchorState(anchor=anchor, roots=0, problem=told)
    return AnchorState(anchor=anchor, roots=len(roots))


def _missing(
    workspace: Workspace, anchor: str, held: Sequence[str], roots: Sequence[tuple[Root, bytes]]
) -> list[tuple[int, str]]:
    compare(anchor, held, roots)
    there = {_named(anchor, number, line)[0] for number, line in enumerate(held, 1)}
    return [
        (root.index, events.head_line(workspace.signer, root.index, data).decode())
        for root, data in roots
        if root.index not in there
    ]


def _append_missing(workspace: Workspace, anchor: str, path: Path, roots: Sequence[tuple[Root, bytes]]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("a+b") as file:
        fcntl.flock(file, fcntl.LOCK_EX)  # two servers of one ledger may anchor in the same file
        file.seek(0)
        found = file.read()
        whole = found[: found.rfind(b"\n") + 1]
        if whole != found:  # a kill in the middle of a line: it was never a whole one
            file.truncate(len(whole))
        for _, line in _missing(workspace, anchor, whole.decode().splitlines(), roots):
            file.write(line.encode() + b"\n")
        file.flush()
        os.fsync(file.fileno())


def _file_lines(path: Path) -> list[str]:
    try:
        found = path.read_bytes()
    except FileNotFoundError:
        return []
    except OSError as problem:
        raise BackendError(
            f"The anchor {path} cannot be read: {problem}.", fix="Mend that, and ask again."
        ) from problem
    try:
        return found[: found.rfind(b"\n") + 1].decode().splitlines()
    except UnicodeDecodeError as problem:
        raise Corrupt(f"The anchor {path} holds what is no text: {problem}.", fix="Take it from a backup.") from problem


def _git_lines(folder: Path) -> list[str]:
    told = _git(folder, "for-each-ref", "--format=%(contents:subject)", "--sort=version:refname", f"refs/tags/{_TAG}*")
    return told.splitlines()


def _tag(folder: Path, index: int, line: str) -> None:
    blob = _git(folder, "hash-object", "-w", "--stdin", given=line).strip()
    # On a blob, not on a commit: an empty repository has none, and history that is rewritten does not matter.
    _git(folder, "tag", "--annotate", "--no-sign", "--message", line, f"{_TAG}{index}", blob)


def _git(folder: Path, *words: str, given: str | None = None) -> str:
    who = ("-c", "user.name=slipway", "-c", "user.email=slipway@localhost")
    if not folder.is_dir():
        raise NotFound(f"There is no git repository {folder}.", fix=f"Make one: git init {folder}")
    try:
        done = subprocess.run(
            ["git", "-C", str(folder), *who, *words],
            input=given,
            capture_output=True,
            text=True,
            check=False,
            timeout=_WITHIN_S,
        )
    except (OSError, subprocess.TimeoutExpired) as problem:
        raise BackendError(
            f"git could not be asked in {folder}: {problem}.", fix="Install git, and try again."
        ) from problem
    if done.returncode:
        raise BackendError(
            f"git failed in {folder}: {done.stderr.strip() or f'exit code {done.returncode}'}.",
            fix="Mend the repository, or name another anchor in slipway.toml.",
        )
    return done.stdout


def _named(anchor: str, number: int, line: str) -> tuple[int, str]:
    """Which root a line names. Its signature is not asked: what it names is compared with the ledger itself."""
    try:
        payload = base64.b64decode(msgspec.json.decode(line, type=_Envelope).payload, validate=True)
        return msgspec.json.decode(payload, type=tuple[int, str])
    except (msgspec.DecodeError, ValueError) as problem:
        raise Corrupt(
            f"Line {number} of {anchor} cannot be read: {problem}.", fix="Take the anchor from a backup."
        ) from problem
