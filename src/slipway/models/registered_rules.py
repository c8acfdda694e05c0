"""What a registered model may be called and may say."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any, TypeVar

import msgspec

from slipway.errors import InvalidInput
from slipway.ledger.run_rules import check_key
from slipway.records.models import ModelVersion, RegisteredModel

__all__ = ["check_model_name", "check_text", "refuse_signed", "said", "with_tags"]

Registered = TypeVar("Registered", ModelVersion, RegisteredModel)

_NAME_LENGTH = 256
_TAG_LENGTH = 100_000
_TEXT_LENGTH = 100_000


def check_model_name(name: str) -> None:
    """Check the name of a model.

    Raises:
        InvalidInput: It is empty or long, or holds what no name may.
    """
    bad = not name.strip() or set(name) & set("/:\\") or name in (".", "..") or not name.isprintable()
    if bad or len(name) > _NAME_LENGTH:
        raise InvalidInput(
            f"Invalid model name: {name[:80]!r}.",
            why=f"Names have at most {_NAME_LENGTH} characters and no '/' or ':'.",
            fix="For example 'flight-delays'.",
            field="name",
        )


def refuse_signed(versions: Sequence[ModelVersion], what: str) -> None:
    """Refuse to do something to versions one of which carries a signed bundle.

    Raises:
        InvalidInput: One does.
    """
    for version in versions:
        if version.bundle:
            raise InvalidInput(
                f"Version {version.number} of {version.name!r} cannot be {what}.",
                why="It carries a signed bundle: what serves or served, and why it was let through, is told by it.",
                fix="Leave it, and point the aliases elsewhere.",
            )


def check_text(text: str) -> str:
    """Check a description.

    Raises:
        InvalidInput: It is too long.
    """
    if len(text) > _TEXT_LENGTH:
        raise InvalidInput(f"The description has {len(text)} characters.", fix=f"At most {_TEXT_LENGTH:,} are kept.")
    return text


def with_tags(present: Mapping[str, Any], new: Mapping[str, str]) -> dict[str, Any]:
    """The tags with new ones set.

    Raises:
        InvalidInput: A key or value does not fit.
    """
    tags = dict(present)
    for key, value in new.items():
        if len(value) > _TAG_LENGTH:
            raise InvalidInput(
                f"The tag {key[:80]!r} has {len(value)} characters.", fix=f"At most {_TAG_LENGTH:,} are kept."
            )
        tags[check_key(key, "tag")] = value
    return tags


def said(
    present: Registered, now: datetime, description: str | None, tags: Mapping[str, str] | None, drop: str | None
) -> Registered:
    """A model or version of which something else is said.

    Args:
        present: The record as it stands.
        now: Business time.
        description: What it says from now on; None leaves it.
        tags: Tags to set.
        drop: A tag to take away, None for none.

    Raises:
        InvalidInput: A tag or the description does not fit.
    """
    kept = with_tags(present.tags, tags or {})
    if drop is not None:
        kept.pop(drop, None)
    told = present.description if description is None else check_text(description)
    return msgspec.structs.replace(present, description=told, tags=kept, updated_at=now)
