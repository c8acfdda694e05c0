"""What a run may hold: the rules for keys, parameters, metrics and tags.

They are MLflow's, so that its clients find what they expect, with one addition: a metric's key may end in a slice,
`auc[carrier=AA]`.
"""

import math
import posixpath
import re
from collections.abc import Mapping
from datetime import date
from typing import Any

from slipway.errors import Conflict, InvalidInput
from slipway.hashing import fingerprint

__all__ = ["check_key", "check_step", "metric_value", "plain_param", "set_params", "set_tags"]

_KEY = re.compile(r"[\w/.\- :]+\Z")
_METRIC_KEY = re.compile(r"[\w/.\- :]+(\[[^\[\]\x00-\x1f]+\])?\Z")
_KEY_LENGTH = 250
_PARAM_LENGTH = 6000
_TAG_LENGTH = 8000
_KEPT_TYPES = (bool, int, str)


def check_key(key: object, what: str) -> str:
    """Check the key of a metric, parameter or tag.

    Args:
        key: At most 250 characters: letters, digits, `_`, `-`, `.`, `/`, `:` and spaces; no path that leads elsewhere.
        what: "metric", "parameter", "tag".

    Returns:
        The same key.

    Raises:
        InvalidInput: It does not fit.
    """
    if not isinstance(key, str):
        raise InvalidInput(
            f"The key of a {what} must be text, not {type(key).__name__} {key!r}.",
            fix=f"Write it as text: {str(key)!r}.",
            field="key",
        )
    if len(key) > _KEY_LENGTH:
        raise InvalidInput(
            f"The key of the {what} {key[:40]!r}... has {len(key)} characters.",
            why=f"At most {_KEY_LENGTH} are allowed.",
            fix="Shorten it.",
            field="key",
        )
    if not (_METRIC_KEY if what == "metric" else _KEY).match(key) or _leads_elsewhere(key):
        proposal = re.sub(r"[^\w/.\- :]+", "_", key).strip("/. ") or f"my_{what}"
        raise InvalidInput(
            f"{key!r} cannot be the key of a {what}.",
            why="Keys use letters, digits, '_', '-', '.', '/', ':' and spaces, and do not look like a path elsewhere.",
            fix=f"For example {posixpath.normpath(proposal)!r}.",
            field="key",
        )
    return key


def _leads_elsewhere(key: str) -> bool:
    if "/" not in key and key not in (".", ".."):
        return False
    return posixpath.normpath(key) != key or key in (".", "..") or key.startswith(("../", "/"))


def metric_value(key: str, value: object) -> float:
    """A metric's value as a float; NaN and infinities are values too.

    Args:
        key: The metric's key, for the sentence.
        value: Any number, also of NumPy or another library.

    Raises:
        InvalidInput: It is not one number.
    """
    if type(value) is float:
        return value
    if not isinstance(value, str | bytes | bytearray):
        try:
            return float(value)  # type: ignore[arg-type]  # whatever has __float__; the rest raises and is refused below
        except (TypeError, ValueError, OverflowError):
            pass
    raise InvalidInput(
        f"The metric {key!r} was given {_shown(value)}, a {type(value).__name__}.",
        why="A metric is one number.",
        fix="Log text as a tag (`set_tag`) or as an artifact (`log_text`).",
        field="value",
    )


def plain_param(key: str, value: object) -> Any:
    """A parameter's value as it is stored: plain scalars in their own type, everything else as text.

    A whole number that no store holds in 64 bits is text too.

    Raises:
        InvalidInput: Its text is longer than 6000 characters.
    """
    if type(value) is int and not -(2**63) <= value < 2**63:
        plain: Any = str(value)
    elif value is None or type(value) in _KEPT_TYPES:
        plain = value
    elif type(value) is float:
        plain = value if math.isfinite(value) else str(value)
    elif isinstance(value, date):
        plain = value.isoformat()
    elif hasattr(value, "item") and getattr(value, "ndim", 1) == 0:
        return plain_param(key, value.item())
    else:
        plain = str(value)
    if isinstance(plain, str) and len(plain) > _PARAM_LENGTH:
        raise InvalidInput(
            f"The parameter {key!r} has {len(plain)} characters.",
            why=f"At most {_PARAM_LENGTH} are allowed.",
            fix="Store it as an artifact: `run.log_text(name, text)`.",
            field="value",
        )
    return plain


def set_params(present: Mapping[str, Any], new: Mapping[str, object]) -> dict[str, Any]:
    """The parameters with new ones added. They are write-once: the same value again is fine.

    Raises:
        Conflict: A parameter has another value already.
        InvalidInput: A key or value does not fit.
    """
    params = dict(present)
    for key, value in new.items():
        plain = plain_param(check_key(key, "parameter"), value)
        if key in params and fingerprint(params[key]) != fingerprint(plain):
            raise Conflict(
                f"The parameter {key!r} is {_shown(params[key])} already and cannot become {_shown(plain)}.",
                why="Parameters are written once, so that a run always says what it ran with.",
                fix="Start another run, or log what changes while it runs as a metric or a tag.",
            )
        params[key] = plain
    return params


def set_tags(present: Mapping[str, str], new: Mapping[str, object]) -> dict[str, str]:
    """The tags with new ones set; a tag may be set again.

    Raises:
        InvalidInput: A key or value does not fit.
    """
    tags = dict(present)
    for key, value in new.items():
        text = value if isinstance(value, str) else str(value)
        if len(text) > _TAG_LENGTH:
            raise InvalidInput(
                f"The tag {key!r} has {len(text)} characters.",
                why=f"At most {_TAG_LENGTH} are allowed.",
                fix="Store it as an artifact: `run.log_text(name, text)`.",
                field="value",
            )
        tags[check_key(key, "tag")] = text
    return tags


def _shown(value: object) -> str:
    text = repr(value)
    return text if len(text) <= 60 else text[:57] + "..."


def check_step(key: str, step: object) -> None:
    """Check a metric's step.

    Raises:
        InvalidInput: It is no whole number of 64 bits.
    """
    if isinstance(step, bool) or not isinstance(step, int) or not -(2**63) <= step < 2**63:
        raise InvalidInput(
            f"The step {step!r} of the metric {key!r} does not fit.",
            why="A step is a whole number of 64 bits.",
            fix="Count the steps from 0.",
            field="step",
        )
