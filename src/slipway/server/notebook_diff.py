"""Two notebooks cell by cell: what was added, taken away and changed, in the code and in what it printed.

Both are hostile input: all that is shown of them is text.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from difflib import SequenceMatcher
from typing import Literal

from slipway.errors import InvalidInput
from slipway.server.notebooks import Cell, cells_of, printed

__all__ = ["CellPair", "Line", "NotebookDiff", "compare_notebooks"]

_ALIKE = 0.5
"""How alike two cells at one place must be to be one that was changed."""
_MOST_LINES, _MOST_CELLS = 400, 300

Sort = Literal["same", "changed", "added", "gone"]


@dataclass(frozen=True)
class Line:
    """A line of a cell: of both, only of the first ("-") or only of the second ("+")."""

    sign: Literal[" ", "-", "+"]
    text: str


@dataclass(frozen=True)
class CellPair:
    """A cell as it stands in both notebooks.

    Args:
        sort: How the second stands to the first.
        kind: "code", "markdown" or "raw".
        before: Its place in the first, from 1; 0 where it is not there.
        after: Its place in the second.
        source: Its lines.
        output: The lines that it printed, where they differ; () where they do not.
        left_out: How many lines are not shown.
    """

    sort: Sort
    kind: str
    before: int
    after: int
    source: tuple[Line, ...]
    output: tuple[Line, ...] = ()
    left_out: int = 0


@dataclass(frozen=True)
class NotebookDiff:
    """Two notebooks, cell by cell, and how many cells are of which sort."""

    cells: tuple[CellPair, ...]
    counts: dict[Sort, int]
    left_out: int = 0


def compare_notebooks(before: bytes, after: bytes) -> NotebookDiff:
    """Compare two notebooks of format 4.

    Raises:
        InvalidInput: One of them is none, or has more cells than are compared.
    """
    old, new = cells_of(before), cells_of(after)
    if max(len(old), len(new)) > 10 * _MOST_CELLS:
        raise InvalidInput(
            f"A notebook has {max(len(old), len(new)):,} cells.", fix=f"At most {10 * _MOST_CELLS:,} are compared."
        )
    pairs: list[CellPair] = []
    matcher = SequenceMatcher(None, [_key(one) for one in old], [_key(one) for one in new], autojunk=False)
    for tag, low, high, start, end in matcher.get_opcodes():
        if tag == "equal":
            pairs += [_pair(old[low + i], new[start + i], low + i + 1, start + i + 1) for i in range(high - low)]
        else:
            pairs += _replaced(old[low:high], new[start:end], low, start)
    counts: dict[Sort, int] = {"changed": 0, "added": 0, "gone": 0, "same": 0}
    for pair in pairs:
        counts[pair.sort] += 1
    return NotebookDiff(tuple(pairs[:_MOST_CELLS]), counts, max(0, len(pairs) - _MOST_CELLS))


def _key(cell: Cell) -> tuple[str, str]:
    return cell.cell_type, cell.text.strip()


def _replaced(old: Sequence[Cell], new: Sequence[Cell], low: int, start: int) -> list[CellPair]:
    """Cells that stand in the place of others: those alike enough, in their order, are changed ones."""
    pairs, next_new = [], 0
    for i, one in enumerate(old):
        match = next((j for j in range(next_new, len(new)) if _is_alike(one, new[j])), None)
        if match is None:
            pairs.append(_pair(one, None, low + i + 1, 0))
            continue
        pairs += [_pair(None, new[j], 0, start + j + 1) for j in range(next_new, match)]
        pairs.append(_pair(one, new[match], low + i + 1, start + match + 1))
        next_new = match + 1
    return pairs + [_pair(None, new[j], 0, start + j + 1) for j in range(next_new, len(new))]


def _is_alike(one: Cell, other: Cell) -> bool:
    if one.cell_type != other.cell_type:
        return False
    lines = SequenceMatcher(None, one.text.splitlines()[:_MOST_LINES], other.text.splitlines()[:_MOST_LINES])
    return lines.ratio() >= _ALIKE or SequenceMatcher(None, one.text[:2000], other.text[:2000]).ratio() >= _ALIKE


def _pair(old: Cell | None, new: Cell | None, before: int, after: int) -> CellPair:
    one = new if old is None else old
    assert one is not None
    source = _lines(old.text if old else "", new.text if new else "")
    output = _lines(printed(old) if old else "", printed(new) if new else "")
    differs = any(line.sign != " " for line in (*source, *output))
    sort: Sort = "added" if old is None else "gone" if new is None else "changed" if differs else "same"
    shown = output if any(line.sign != " " for line in output) else ()
    left_out = max(0, len(source) - _MOST_LINES) + max(0, len(shown) - _MOST_LINES)
    return CellPair(
        sort, one.cell_type, before, after, tuple(source[:_MOST_LINES]), tuple(shown[:_MOST_LINES]), left_out
    )


def _lines(before: str, after: str) -> list[Line]:
    old, new = before.splitlines()[: 5 * _MOST_LINES], after.splitlines()[: 5 * _MOST_LINES]
    found: list[Line] = []
    for tag, low, high, start, end in SequenceMatcher(None, old, new, autojunk=False).get_opcodes():
        if tag == "equal":
            found += [Line(" ", one) for one in old[low:high]]
        else:
            found += [Line("-", one) for one in old[low:high]]
            found += [Line("+", one) for one in new[start:end]]
    return found
