"""Figures of other libraries as bytes, without importing any: a figure knows how to write itself."""

from __future__ import annotations

import io
from collections.abc import Callable
from pathlib import PurePosixPath
from typing import Any

from slipway.errors import InvalidInput

__all__ = ["figure_bytes"]

_PICTURES = ("png", "svg", "pdf")


def figure_bytes(name: str, figure: Any) -> tuple[str, bytes]:
    """A figure's artifact name and bytes.

    A Matplotlib figure (or its axes, or a Seaborn grid) becomes a picture of the name's suffix, PNG without one; a
    Plotly or Altair figure a page of HTML, or JSON where the name ends so; a Pillow image a PNG.

    Args:
        name: What it is to be called.
        figure: The figure.

    Raises:
        InvalidInput: It cannot write itself, or not as the name's suffix says.
    """
    suffix = PurePosixPath(name).suffix.lstrip(".").lower()
    for is_one, suffixes, write in _WRITERS:
        if is_one(figure):
            chosen = suffix or suffixes[0]
            if chosen not in suffixes:
                raise InvalidInput(
                    f"A {type(figure).__name__} cannot be stored as {name!r}.",
                    why=f"It becomes one of: {', '.join(suffixes)}.",
                    fix=f"Call it {PurePosixPath(name).with_suffix('.' + suffixes[0]).as_posix()!r}.",
                    field="name",
                )
            return (name if suffix else f"{name}.{chosen}"), write(figure, chosen)
    raise InvalidInput(
        f"{name!r} was given a {type(figure).__name__}, which is no figure that can write itself.",
        why="Figures of Matplotlib, Seaborn, Plotly, Altair and Pillow are known.",
        fix="Save it to a file, and store that: run.log_artifact(Path('figure.png')).",
        field="figure",
    )


def _has(*methods: str) -> Callable[[Any], bool]:
    return lambda figure: all(callable(getattr(figure, method, None)) for method in methods)


def _saved(figure: Any, suffix: str) -> bytes:
    kept = io.BytesIO()
    figure.savefig(kept, format=suffix)
    return kept.getvalue()


def _page(figure: Any, suffix: str) -> bytes:
    return str(figure.to_json() if suffix == "json" else figure.to_html()).encode()


def _image(figure: Any, suffix: str) -> bytes:
    kept = io.BytesIO()
    figure.save(kept, format=suffix.upper())
    return kept.getvalue()


_WRITERS: tuple[tuple[Callable[[Any], bool], tuple[str, ...], Callable[[Any, str], bytes]], ...] = (
    (_has("savefig"), _PICTURES, _saved),
    (_has("get_figure"), _PICTURES, lambda axes, suffix: _saved(axes.get_figure(), suffix)),
    (lambda one: _has("to_html", "to_json", "to_dict")(one) and not hasattr(one, "iloc"), ("html", "json"), _page),
    (_has("save", "tobytes"), ("png",), _image),
)
