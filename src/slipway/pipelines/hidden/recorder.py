"""Gathers what one step reads by itself while it computes."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from slipway.context import Slot
from slipway.pipelines.hidden.allowed import undeclared
from slipway.pipelines.hidden.memos import Memos
from slipway.pipelines.hidden.present import (
    Place,
    file_state,
    folder_state,
    link_state,
    path_state,
    place_of,
    variable_state,
)
from slipway.records.runs import HiddenInput

__all__ = ["Recorder", "current", "recording"]

_MOST = 20_000
_Key = tuple[str, str]


@dataclass(slots=True, weakref_slot=True, eq=False)
class Recorder:
    """What one step reads. Safe for the threads that the step starts.

    The content of a file is looked at before the step gets to see it: a file that somebody changes in between is then
    recorded as it was, so that the next look-up finds a difference where there may be none, never the reverse.

    Args:
        place: Where the step's code lies, and the process when it began.
        allow: What it may use although nothing records it.
    """

    place: Place
    allow: Sequence[str] = ()
    _reads: dict[_Key, HiddenInput] = field(default_factory=dict)
    _own: set[str] = field(default_factory=set)
    _folders: list[str] = field(default_factory=list)
    _appended: set[str] = field(default_factory=set)
    _variables: set[str] = field(default_factory=set)
    _used: set[str] = field(default_factory=set)
    _undeclared: dict[str, None] = field(default_factory=dict)
    _handed: set[str] = field(default_factory=set)
    _memos: Memos = field(default_factory=Memos)
    _lock: threading.RLock = field(default_factory=threading.RLock)

    # What it reads

    def file(self, path: str) -> None:
        """The content of a file is read, or looked for where there is none."""
        name, absolute = self._named(path)
        with self._lock:
            if ("file", name) in self._reads:
                self._note("file", name)
                return
            if absolute in self._appended:
                self.cannot_tell(f"it reads the file {path}, to which it also appends")
            if self._is_own(absolute):
                return
            content, stamp = file_state(absolute)
            if content == "no file":
                return  # a folder or a pipe: its content is no file's
            self._add("file", name, absolute, content, stamp=stamp)

    def folder(self, path: str) -> None:
        """The names in a folder are read."""
        name, absolute = self._named(path)
        with self._lock:
            if ("folder", name) in self._reads or self._is_own(absolute):
                self._note("folder", name)
                return
            own = sorted(os.path.basename(one) for one in self._own if os.path.dirname(one) == absolute)
            own += [os.path.basename(one) for one in self._folders if os.path.dirname(one) == absolute]
            self._add("folder", name, absolute, folder_state(absolute, own), own=tuple(own))

    def path(self, path: str) -> None:
        """It asks what lies at a path."""
        name, absolute = self._named(path)
        with self._lock:
            if ("path", name) not in self._reads and not self._is_own(absolute):
                self._add("path", name, absolute, path_state(absolute))
            self._note("path", name)

    def tree(self, path: str) -> None:
        """All files below a folder are read, or a single one."""
        if not os.path.isdir(path):
            self.file(path)
            return
        for folder, _, names in os.walk(path):
            self.folder(folder)
            for name in names:
                self.file(os.path.join(folder, name))

    def variable(self, name: str) -> None:
        """An environment variable is read, or `ALL_VARIABLES` for the set of their names."""
        with self._lock:
            if name not in self._variables and ("env", name) not in self._reads:
                self._reads["env", name] = HiddenInput(kind="env", name=name, content=variable_state(name))
            self._note("env", name)

    def link(self, path: str) -> None:
        """It asks whether a path is a link, and where that leads."""
        name, absolute = self._named(path)
        with self._lock:
            if ("link", name) not in self._reads and not self._is_own(absolute):
                self._add("link", name, absolute, link_state(absolute))
            self._note("link", name)

    # What it makes itself: that is no input

    def writes(self, path: str, *, is_whole: bool) -> None:
        """A file is opened for writing.

        Args:
            path: The file.
            is_whole: Whether nothing of what it held before remains.
        """
        _, absolute = self._named(path)
        with self._lock:
            if is_whole or not os.path.exists(absolute):
                self._own.add(absolute)
            elif absolute not in self._own:
                self._appended.add(absolute)

    def moves(self, source: str, target: str) -> None:
        """A file or folder gets another name."""
        _, old = self._named(source)
        _, new = self._named(target)
        with self._lock:
            if not self._is_own(old):
                self.tree(source)
            (self._folders.append if os.path.isdir(old) else self._own.add)(new)

    def makes_folder(self, path: str) -> None:
        """A folder is made, unless it is there already."""
        _, absolute = self._named(path)
        with self._lock:
            if not os.path.lexists(absolute):
                self._folders.append(absolute)

    def sets(self, variable: str) -> None:
        """An environment variable is set or removed."""
        with self._lock:
            self._variables.add(variable)

    # What nothing can compare

    def uses(self, what: str, told: str) -> None:
        """It uses what `ALLOWED` names.

        Args:
            what: One of `ALLOWED`.
            told: What it did, as the rest of a sentence: "it connects to example.org:443".
        """
        with self._lock:
            if what not in self.allow and what not in self._used:
                self._used.add(what)
                self.cannot_tell(undeclared(what, told))

    def cannot_tell(self, told: str) -> None:
        """Its result stands for no later call, for this reason."""
        with self._lock:
            self._memos.note(told)
            if len(self._undeclared) < 3:
                self._undeclared[told] = None

    # Outcome

    def hands(self, token: str) -> None:
        """Work is handed to a worker process, which answers with `take`."""
        with self._lock:
            self._handed.add(token)

    def take(self, hidden: Sequence[HiddenInput], undeclared: Sequence[str], token: str = "") -> None:
        """Add what another process recorded for this step."""
        with self._lock:
            self._handed.discard(token)
            self._reads |= {(one.kind, one.name): one for one in hidden}
            self._undeclared |= dict.fromkeys(undeclared)

    def taken(self) -> tuple[tuple[HiddenInput, ...], tuple[str, ...]]:
        """What was read, in a fixed order, and the sentences about what nothing can compare."""
        with self._lock:
            if self._handed:
                self.cannot_tell("a worker process did not answer, so what it read is not known")
            remembered, sentences = self._memos.taken()
            self._reads = {(one.kind, one.name): one for one in remembered} | self._reads
            self._undeclared |= dict.fromkeys(sentences)
            found = [
                one
                for (kind, name), one in sorted(self._reads.items())
                if kind != "path" or not ({("file", name), ("folder", name)} & self._reads.keys())
            ]
            if len(found) > _MOST:
                self.cannot_tell(f"it reads {len(found):,} files by itself, more than are compared (keep a file set)")
                found = []
            return tuple(found), tuple(self._undeclared)

    # Paths

    def _named(self, path: str) -> tuple[str, str]:
        """What a path is recorded as, and where it leads."""
        text = path if ".." in path.split(os.sep) else os.path.normpath(path)
        if not os.path.isabs(text):
            cwd = os.getcwd()
            absolute = os.path.join(cwd, text) if text != "." else cwd
            return (text, absolute) if cwd == self.place.cwd else (absolute, absolute)
        return text, text

    def _is_own(self, absolute: str) -> bool:
        if absolute in self._own:
            return True
        return any(absolute == one or absolute.startswith(one + os.sep) for one in self._folders)

    def _add(
        self, kind: Any, name: str, absolute: str, content: str, *, stamp: str = "", own: tuple[str, ...] = ()
    ) -> None:
        beside = below = ""
        if os.path.isabs(name):
            base, cwd = self.place.base, self.place.cwd
            if base and name.split(os.sep)[1] == base.split(os.sep)[1]:
                beside = os.path.relpath(name, base)
            if name.startswith(cwd.rstrip(os.sep) + os.sep):
                below = os.path.relpath(name, cwd)
        self._reads[kind, name] = HiddenInput(
            kind=kind, name=name, content=content, beside=beside, below=below, own=own, stamp=stamp
        )
        self._note(kind, name)

    def _note(self, kind: str, name: str) -> None:
        if (kind, name) in self._reads:
            self._memos.note(self._reads[kind, name])


current: Slot[Recorder | None] = Slot("slipway.hidden_inputs")


@contextmanager
def recording(
    functions: Sequence[Callable[..., Any]], allow: Sequence[str] = (), *, cwd: str | None = None
) -> Iterator[Recorder]:
    """Record what is read inside the block: by this thread, and by those that it starts.

    Args:
        functions: The step's functions; the project is that of the first.
        allow: What the step may use although nothing records it.
        cwd: The folder to which relative paths are recorded; that of this process if missing.
    """
    place = place_of(functions)
    recorder = Recorder(place if cwd is None else Place(place.base, cwd), tuple(allow), _memos=Memos(functions))
    with current.filled(recorder):
        yield recorder
