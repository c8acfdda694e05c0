"""What a function or class held when it was hashed, and small questions about both."""

from collections.abc import Mapping
from types import CellType, CodeType, FunctionType
from typing import Any, NamedTuple

from slipway.code.walk import MISSING

__all__ = ["Held", "content", "is_own", "is_set", "is_written", "names_in", "same_items"]

_MADE = frozenset({"__module__", "__doc__", "__qualname__", "__firstlineno__"})


class Held(NamedTuple):
    """What a function consisted of when it was hashed."""

    function: Any  # a function; its class would make it a method for type checkers
    code: CodeType
    defaults: tuple[Any, ...] | None
    keyword_defaults: tuple[Any, ...]
    cells: tuple[Any, ...]
    attributes: Mapping[str, Any]

    @classmethod
    def of(cls, function: FunctionType) -> "Held":
        """What it holds now."""
        keyword = tuple((function.__kwdefaults__ or {}).values())
        cells = tuple(content(cell) for cell in function.__closure__ or ())
        return cls(function, function.__code__, function.__defaults__, keyword, cells, dict(function.__dict__))

    def still_holds(self) -> bool:
        """Whether it holds the same objects still."""
        function = self.function
        if function.__code__ is not self.code or function.__defaults__ is not self.defaults:
            return False
        keyword, cells = function.__kwdefaults__, function.__closure__
        if (function.__dict__ or self.attributes) and not same_items(function.__dict__, self.attributes):
            return False
        return (not keyword or _identical(tuple(keyword.values()), self.keyword_defaults)) and (
            not cells or all(content(cell) is held for cell, held in zip(cells, self.cells, strict=True))
        )


def content(cell: CellType) -> Any:
    """What a closure's cell holds."""
    try:
        return cell.cell_contents
    except ValueError:  # not yet assigned
        return MISSING


def _identical(some: tuple[Any, ...], others: tuple[Any, ...]) -> bool:
    return len(some) == len(others) and all(a is b for a, b in zip(some, others, strict=True))


def same_items(now: Mapping[str, Any], held: Mapping[str, Any]) -> bool:
    """Whether two namespaces hold the same objects under the same names."""
    return len(now) == len(held) and all(now.get(name, MISSING) is value for name, value in held.items())


def is_own(function: FunctionType, kind: type, name: str) -> bool:
    """Whether a method is the one that the class's statement made under this name, and not another's set later."""
    return function.__module__ == kind.__module__ and function.__qualname__ == f"{kind.__qualname__}.{name}"


def is_set(value: Any, name: str) -> bool:
    """Whether an attribute with underscores on both ends is code or a plain value that a person may have set."""
    if isinstance(value, FunctionType):
        return is_written(value)
    return name not in _MADE and isinstance(value, bool | int | float | str | bytes | None)


def is_written(function: FunctionType) -> bool:
    """Whether a person wrote a method, and not a class decorator that made it from text."""
    return not function.__code__.co_filename.startswith("<") or function.__code__.co_filename.startswith("<ipython")


def names_in(code: CodeType) -> set[str]:
    """The global names and attributes that code uses, in nested functions too."""
    inner = [names_in(constant) for constant in code.co_consts if isinstance(constant, CodeType)]
    return set(code.co_names).union(*inner)
