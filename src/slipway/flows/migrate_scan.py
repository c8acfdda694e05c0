"""What can be told of old models without opening one: files in a folder, and what an MLflow registry says."""

from __future__ import annotations

import os
from contextlib import closing
from pathlib import Path

from slipway.errors import NotFound
from slipway.ids import fitting_name
from slipway.plugins import load
from slipway.records.migrations import OldKind, OldModel
from slipway.schema.inventory import MOST

__all__ = ["scan"]

_KINDS: dict[str, OldKind] = {
    ".pkl": "pickle", ".pickle": "pickle", ".joblib": "pickle", ".onnx": "onnx", ".ipynb": "notebook",
}  # fmt: skip
_OWNER = "mlflow.user"


def scan(place: str) -> tuple[OldModel, ...]:
    """The old models at a place, as an inventory that a person completes: owner, users, value and risk are not to be seen.

    Args:
        place: The address of an MLflow server, `sqlite:///...`, a folder of MLflow, or a folder with model files.

    Raises:
        NotFound: There is no such folder, or no model in it.
        Unavailable: A server does not answer.
    """
    if place.startswith(("http://", "https://")):
        found = _registered(place, "http")
    elif place.startswith("sqlite:"):
        found = _registered(place, "sqlite")
    elif any(Path(place).glob("*/meta.yaml")):
        found = _registered(place, "files")
    elif Path(place).is_dir():
        found = _files(Path(place))
    else:
        raise NotFound(
            f"There is no folder {place!r}.", fix="Give a folder, sqlite:///mlflow.db or a server's address."
        )
    if not found:
        raise NotFound(
            f"No model was found at {place}.", fix="Write the inventory by hand: docs/migrate.md shows its columns."
        )
    return tuple(found[:MOST])


def _registered(place: str, kind: str) -> list[OldModel]:
    with closing(load("foreign_runs", kind)(place)) as source:
        return [
            OldModel(
                name=one.name,
                kind="mlflow",
                place=source.place,
                owner=one.tags.get(_OWNER, one.tags.get("owner", "")),
                becomes=_becomes(one.name),
                note=f"{len(one.versions)} versions",
            )
            for one in source.models()
        ]


def _files(folder: Path) -> list[OldModel]:
    found: dict[str, OldModel] = {}
    for home, folders, files in os.walk(folder):
        folders[:] = sorted(one for one in folders if not one.startswith("."))
        here = Path(home)
        if "MLmodel" in files:
            folders.clear()
            _add(found, here.name, "mlflow", here)
            continue
        for file in sorted(files):
            kind = _KINDS.get(Path(file).suffix)
            if kind is not None:
                _add(found, Path(file).stem, kind, here / file)
    return list(found.values())


def _add(found: dict[str, OldModel], name: str, kind: OldKind, path: Path) -> None:
    called, number = name, 2
    while called in found:
        called, number = f"{name}-{number}", number + 1
    found[called] = OldModel(name=called, kind=kind, place=str(path), becomes=_becomes(called))


def _becomes(name: str) -> str:
    """Its name here, "" where that is the same."""
    fitting = fitting_name(name)
    return "" if fitting == name else fitting
