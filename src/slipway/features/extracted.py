"""Scalar features as they serve: the functions of their extracted code, apart from the project that declared them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from types import ModuleType
from typing import Any

from slipway import code
from slipway.errors import Corrupt, InvalidInput, SlipwayError
from slipway.records.features import FeatureSetSpec, Scalar

__all__ = ["extracted_functions", "functions_in"]


def extracted_functions(
    spec: FeatureSetSpec, functions: Mapping[str, Callable[..., Any]], folder: Path
) -> dict[str, Callable[..., Any]]:
    """The functions of a set's scalar features as a bundle will hold them.

    What a module's statements do not say is not in them: a value that another module bound anew is the written one.

    Args:
        spec: The set.
        functions: The project's functions, by feature name.
        folder: An empty folder for their code, kept while they are called: they may import more of it.

    Raises:
        InvalidDeclaration: The code cannot be taken out of the project.
        InvalidInput: The code that was taken out cannot be loaded.
    """
    if not functions:
        return {}
    sources = code.extract(list(functions.values()))
    for path, text in sources.items():
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        (folder / path).write_text(text, encoding="utf-8")
    modules = [path.removesuffix(".py").removesuffix("/__init__").replace("/", ".") for path in sources]
    try:
        return functions_in(spec, code.load_extracted(folder, tuple(modules)))
    except SlipwayError:
        raise
    except Exception as error:
        raise InvalidInput(
            f"The features' code cannot be loaded apart from its project: {type(error).__name__}: {error}.",
            why="An endpoint loads the reduced modules of its bundle, not the project.",
            fix="Let the modules of features import and bind at their top all that the features need.",
        ) from error


def functions_in(spec: FeatureSetSpec, loaded: Mapping[str, ModuleType]) -> dict[str, Callable[..., Any]]:
    """The functions of a set's scalar features by name, out of its extracted code.

    Args:
        spec: The set.
        loaded: The modules of the extracted code by name, as `code.load_extracted` gives them.

    Raises:
        Corrupt: A function is not among them.
    """
    return {part.name: _function_in(part, loaded) for part in spec.parts if isinstance(part, Scalar)}


def _function_in(scalar: Scalar, loaded: Mapping[str, ModuleType]) -> Callable[..., Any]:
    # A project run as a script declares its features in "__main__"; its code is kept under the file's name.
    homes = [loaded[scalar.module]] if scalar.module in loaded else list(loaded.values())
    for home in homes:
        found = getattr(home, scalar.name, None)
        for value in [found] if callable(found) else vars(home).values():
            if callable(value) and getattr(value, "__name__", "") == scalar.name:
                function: Callable[..., Any] = value
                return function
    raise Corrupt(
        f"The bundle's code has no function {scalar.name!r}, which its features name.",
        fix="Package the model again.",
    )
