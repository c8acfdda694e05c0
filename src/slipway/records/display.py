"""Records as notebooks show them: one small table each, with everything escaped that somebody else may have written."""

from collections.abc import Iterable, Sequence
from html import escape

__all__ = ["facts", "table"]

_MOST = 200
_LENGTH = 500


def table(title: str, columns: Sequence[str], rows: Iterable[Sequence[object]]) -> str:
    """A table as HTML, of at most 200 rows.

    Args:
        title: Its caption.
        columns: The heads.
        rows: The cells; None is an empty one.
    """
    every = list(rows)
    heads = "".join(f"<th>{_text(column)}</th>" for column in columns)
    body = "".join(f"<tr>{''.join(f'<td>{_text(cell)}</td>' for cell in row)}</tr>" for row in every[:_MOST])
    more = f"<tr><td>and {len(every) - _MOST:,} more</td></tr>" if len(every) > _MOST else ""
    head = f"<thead><tr>{heads}</tr></thead>" if heads else ""
    return f"<table><caption>{_text(title)}</caption>{head}<tbody>{body}{more}</tbody></table>"


def facts(title: str, pairs: Iterable[tuple[str, object]]) -> str:
    """Names and values as HTML; what is empty is left out."""
    return table(title, (), [pair for pair in pairs if pair[1] not in ("", None, (), {})])


def _text(value: object) -> str:
    if value is None:
        return ""
    text = f"{value:.6g}" if isinstance(value, float) else str(value)
    return escape(text if len(text) <= _LENGTH else text[: _LENGTH - 3] + "...")
