"""Values of a request as people type them, and answers as they are shown."""

import json
from typing import Any

from slipway.records.schema import Field

__all__ = ["raw", "read", "shown"]

_BOOLS = {"true": True, "yes": True, "1": True, "false": False, "no": False, "0": False}
_LONGEST_NUMBER = 400


def read(field: Field, text: str) -> Any:
    """What was typed, of the field's type; as it stands where it is none: then the contract says what is wrong with it."""
    if text == "null" and field.nullable:
        return None
    if field.type == "bool":
        return _BOOLS.get(text.lower(), text)
    if field.type in ("int", "float") and len(text) <= _LONGEST_NUMBER:
        try:
            value = json.loads(text)
        except (ValueError, RecursionError):
            return text
        is_plain = isinstance(value, int | float) and not isinstance(value, bool) and abs(value) < 1e308
        return value if is_plain else text
    return text


def shown(value: Any) -> str:
    """A value as a box shows it."""
    if value is None:
        return ""
    return ("true" if value else "false") if isinstance(value, bool) else str(value)


def raw(body: Any) -> str:
    """An answer as JSON, to be read."""
    return json.dumps(body, indent=2, ensure_ascii=False)
