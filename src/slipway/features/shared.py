"""What another project published, as parts of a feature set: looked up when the set is used, not when it is declared."""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from importlib import import_module, invalidate_caches
from pathlib import Path
from typing import Any

import msgspec

from slipway import features as room
from slipway.errors import BackendError, Corrupt, InvalidDeclaration
from slipway.features.views import FeatureView
from slipway.ids import new_id
from slipway.ledger import archive, publications
from slipway.ledger.run_log import RunLog, current_run
from slipway.ports.workspace import Workspace, workspace
from slipway.records.features import Part, Scalar, View
from slipway.records.sharing import Publication

__all__ = ["SharedParts", "SharedReference", "function_of"]


@dataclass(frozen=True, kw_only=True)
class SharedParts:
    """A publication's part of a feature set.

    Args:
        parts: The definitions, as its owner's feature sets have them.
        functions: The functions of scalar features, by name.
        views: Feature views that read the owner's stored rows, by name.
    """

    parts: tuple[Part, ...]
    functions: Mapping[str, Callable[..., Any]] = field(default_factory=dict)
    views: Mapping[str, FeatureView] = field(default_factory=dict)


class SharedReference:
    """Names a publication: `flights/weather_at_origin@3`.

    Args:
        given: The reference; the number is needed, so that nothing changes under its user.

    Raises:
        InvalidDeclaration: It has no number.
        InvalidInput: It is no reference.

    Attributes:
        reference: As it was given.
        name: The thing's name.
    """

    def __init__(self, given: str) -> None:
        project, self.name, number = publications.parse(given)
        if not number:
            raise InvalidDeclaration(
                f"sw.shared({given!r}) names no number.",
                why="A number never changes its meaning; the newest may.",
                fix=f"slipway share show {project}/{self.name} says which there are: sw.shared('{given}@1')",
            )
        self.reference = given
        self._known: tuple[Workspace, RunLog | None, Publication] | None = None

    def publication(self) -> Publication:
        """What it names, in the current workspace's store: looked up once a run, outside of runs once a workspace.

        A number never changes its meaning; whether it may be used is asked anew by the next run.

        Raises:
            UserError: No project is open.
            NotFound: There is no such publication.
            Denied: The current project may not use it.
        """
        opened, run = workspace(), current_run.get()
        known = self._known
        if known is None or known[0] is not opened or known[1] is not run:
            known = self._known = (opened, run, publications.find(opened, self.reference))
        found = known[2]
        read = room.versions.reads.get()
        if read is not None and publications.node(found) not in read:
            read.append(publications.node(found))
        return found

    def shared_parts(self) -> SharedParts:
        """The publication as parts of a feature set.

        Raises:
            InvalidDeclaration: It is a table or a step.
            NotFound: There is no such publication.
            Denied: The current project may not use it.
        """
        found = self.publication()
        if not found.parts:
            raise InvalidDeclaration(
                f"{found.id} is a {found.sort}, and stands in a feature set.",
                why="A feature set is made of features, windows and feature views.",
                fix="Read it in a feature view." if found.sort == "table" else "Call it in a pipeline.",
            )
        views = {part.name: _stored(part, found) for part in found.parts if isinstance(part, View)}
        scalars = [part for part in found.parts if isinstance(part, Scalar)]
        functions = {part.name: function_of(workspace(), found) for part in scalars}
        parts = tuple(
            msgspec.structs.replace(part, module=functions[part.name].__module__) if isinstance(part, Scalar) else part
            for part in found.parts
        )
        return SharedParts(parts=parts, functions=functions, views=views)

    def __repr__(self) -> str:
        return f"<shared {self.reference}>"


def function_of(opened: Workspace, publication: Publication) -> Callable[..., Any]:
    """The function of a published feature or step, from its owner's code as it was when it was published.

    The code lies in the store under a package name made of its content, so that it never meets another module.

    Raises:
        Corrupt: The stored code is damaged.
        BackendError: The file system failed.
    """
    module, _, name = publication.function.partition(":")
    folder = _unpacked(opened, publication)
    if not _is_loaded_from(folder, module):
        package = module.partition(".")[0]
        for known in [name for name in sys.modules if name.partition(".")[0] == package]:
            del sys.modules[known]  # of another store in this process; what holds its functions goes on
        sys.path.append(str(folder))
        try:
            invalidate_caches()
            import_module(module)
        finally:
            sys.path.remove(str(folder))
    found = getattr(sys.modules[module], name)
    function: Callable[..., Any] = getattr(found, "function", found)
    return function


def _is_loaded_from(folder: Path, module: str) -> bool:
    file = getattr(sys.modules.get(module), "__file__", None)
    return file is not None and Path(file).is_relative_to(folder)


def _unpacked(opened: Workspace, publication: Publication) -> Path:
    """The folder of a publication's code, each byte compared with what is stored."""
    data = opened.blobs.get(publication.code)
    folder = opened.root / "shared" / publication.code
    try:
        if not folder.exists():
            part = folder.with_name(f".{publication.code}.{new_id()}.part")
            archive.unpack(data, part)
            try:
                part.rename(folder)
            except OSError:
                if not folder.exists():  # or else another process was first
                    raise
        altered = [name for name, content in archive.read(data).items() if (folder / name).read_bytes() != content]
    except OSError as problem:
        raise BackendError(f"The code of {publication.id} cannot be unpacked to {folder}: {problem}.") from problem
    if altered:
        raise Corrupt(
            f"The file {altered[0]} of {publication.id} in {folder} was altered.",
            fix="Remove that folder: it is written again from the store.",
        )
    return folder


def _stored(part: View, publication: Publication) -> FeatureView:
    """A view over the rows that its owner keeps: the query ran there."""
    view = FeatureView(_as_stored, entity=part.entity, time=part.time, ttl_us=part.ttl_us)
    view.name, view.sources, view.definition = part.name, part.sources, part.definition
    view.reads = {column.name: publication.reads.get(f"{part.name}_{column.name}", ()) for column in part.fields}
    return view


def _as_stored(rows: Any) -> Any:
    return rows
