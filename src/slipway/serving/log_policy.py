"""What of an answered row is logged, where a revision does not log all of it: a share of the rows, no personal values."""

import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from blake3 import blake3
from msgspec.structs import replace

from slipway.errors import Corrupt
from slipway.records.endpoints import LogSpec
from slipway.records.predictions import LabelRow, PredictionRow
from slipway.records.schema import Field
from slipway.tables.log_sampling import is_logged

__all__ = ["KEY_FILE", "LogPolicy", "hashed", "read_key"]

KEY_FILE = "log.key"
"""In an endpoint's folder: with what texts of personal columns are hashed for its log. It lies outside the log, so that
this can be given away."""

_PARTS = re.compile(r"(?<!\\)\|")


def read_key(folder: Path) -> bytes:
    """The key of an endpoint's log.

    Raises:
        Corrupt: There is none, or it is damaged.
    """
    path = folder / KEY_FILE
    key = path.read_bytes() if path.exists() else b""
    if len(key) != 32:
        raise Corrupt(
            f"The log of {folder.name!r} is to have no personal values, and the key {path} to hash them is not there.",
            fix="Restore the file from a backup; or remove it and deploy again, then rows of before match no later label.",
        )
    return key


def hashed(key: bytes, text: str) -> str:
    """What stands for a personal text in a log: the same for the same text, and nobody's without the key."""
    return f"~{blake3(text.encode(), key=key).hexdigest(length=12)}"


class LogPolicy:
    """Chooses and rewrites rows for the log.

    Args:
        spec: How the endpoint's predictions are logged.
        fields: The request's fields.
        key: Which of them name a row.
        inputs: The inputs of each model that may have answered, by the first 16 digits of its bundle.
        secret: With what personal texts are hashed; needed where the spec names some.
    """

    def __init__(
        self,
        spec: LogSpec,
        fields: Sequence[Field],
        key: Sequence[str],
        inputs: Mapping[str, Sequence[Field]],
        secret: bytes = b"",
    ) -> None:
        hidden = frozenset(spec.redacted)
        self._sample = spec.sample
        self._secret = secret
        self._fields = [i for i, field in enumerate(fields) if field.name in hidden]
        self._inputs = {
            bundle: [i for i, field in enumerate(of) if field.name in hidden] for bundle, of in inputs.items()
        }
        self._key = [i for i, name in enumerate(key) if name in hidden]

    def kept(self, rows: list[PredictionRow]) -> list[PredictionRow]:
        """The rows of which something is logged: a share, and each that the fallback answered."""
        if self._sample >= 1:
            return rows
        return [row for row in rows if row.fallback or is_logged(self._key_of(row.key) or row.id, self._sample)]

    def written(self, rows: Sequence[PredictionRow]) -> list[PredictionRow]:
        """Rows as they are logged."""
        return [
            replace(
                row,
                key=self._key_of(row.key),
                request=self._without(row.request, self._fields),
                features=self._without(row.features, self._inputs[row.bundle]),
                log_share=1.0 if row.fallback else self._sample,
            )
            for row in rows
        ]

    def labels(self, rows: Sequence[LabelRow]) -> list[LabelRow]:
        """Labels as they are logged: their keys are written as those of the rows that they belong to."""
        return [replace(row, key=self._key_of(row.key)) for row in rows] if self._key else list(rows)

    def _key_of(self, text: str) -> str:
        if not self._key or not text:
            return text
        parts = _PARTS.split(text)
        for i in self._key:
            parts[i] = hashed(self._secret, re.sub(r"\\(.)", r"\1", parts[i])) if parts[i] else ""
        return "|".join(parts)

    def _without(self, values: list[Any], places: Sequence[int]) -> list[Any]:
        if not places:
            return values
        found = list(values)
        for i in places:
            if i < len(found):
                found[i] = hashed(self._secret, found[i]) if type(found[i]) is str else None
        return found
