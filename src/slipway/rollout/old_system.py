"""An old system beside an endpoint, as a project declares it."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal
from urllib.parse import urlsplit

from slipway.errors import InvalidDeclaration
from slipway.ports.secrets import is_kept_elsewhere
from slipway.records.endpoints import OldSystemSpec

__all__ = ["OldSystem"]

_LONGEST_US = 60_000_000
_HERE = ("127.0.0.1", "::1", "localhost")
_SECRET = ("authorization", "cookie", "key", "token", "secret", "password")


@dataclass(frozen=True, slots=True, kw_only=True)
class OldSystem:
    """An older system that answers the same rows by HTTP: each answer here is compared with its own, unseen.

    Args:
        url: Where it answers POST: "https://old.example/score".
        score: Where the score stands in its JSON: "result.score", or "predictions.*.score" for several rows.
        fields: The request's fields that it is sent, or its names of them to ours; all of them where nothing is given.
        rows: Under which name several rows are sent as a list, "" for a list that is the whole body; None for one row a
            request, which is the body.
        headers: What is sent besides: `{"Authorization": "Bearer ${OLD_TOKEN}"}`; secrets by an environment variable's name.
        timeout: How long it may take for one request: "300ms", "2s"; a minute at most.
        at_once: How many requests are under way at most, shared out among the workers, one each at least.
        sample: The share of the rows that it is asked for, above 0 and at most 1.
        tolerance: Scores that are no further apart agree; a finite number from 0.
        protocol: "json"; or "v2", the Open Inference Protocol, in which one row is one request and each field a tensor:
            its score stands at "outputs.0.data.0".

    Raises:
        InvalidDeclaration: It cannot be asked like that, or a secret stands in what is kept in version control.

    Example:
        >>> OldSystem(url="https://old.example/score", score="score").spec().at_once
        4
    """

    url: str
    score: str = "score"
    fields: Sequence[str] | Mapping[str, str] = ()
    rows: str | None = None
    headers: Mapping[str, str] = field(default_factory=dict)
    timeout: str = "2s"
    at_once: int = 4
    sample: float = 1.0
    tolerance: float = 1e-6
    protocol: Literal["json", "v2"] = "json"

    def __post_init__(self) -> None:
        parts = urlsplit(self.url)
        if (
            parts.scheme not in ("http", "https")
            or not parts.hostname
            or parts.username
            or parts.password
            or parts.fragment
        ):
            raise InvalidDeclaration(
                f"{parts._replace(netloc=parts.netloc.rpartition('@')[2]).geturl()!r} is given as an old system's url.",
                why="It is an address by http or https without a name or a password in it.",
                fix='For example url="https://old.example/score"; secrets belong in headers.',
            )
        if (self.rows is not None) != ("*" in self.score.split(".")) or self.score.split(".").count("*") > 1:
            raise InvalidDeclaration(
                f"An old system with rows={self.rows!r} cannot have its score at {self.score!r}.",
                why='"*" stands for the rows, once, where several are sent, and nowhere else.',
                fix='For example rows="rows", score="predictions.*.score", or score="score" alone for one row a request.',
            )
        if self.protocol not in ("json", "v2") or (self.protocol == "v2" and self.rows is not None):
            raise InvalidDeclaration(
                f"An old system with rows={self.rows!r} cannot be asked by {self.protocol!r}.",
                why='There are "json" and "v2", which takes one row a request.',
                fix='For example protocol="v2", score="outputs.0.data.0".',
            )
        for what, value, low, high in (
            ("at_once", self.at_once, 1, 64), ("sample", self.sample, 1e-9, 1), ("tolerance", self.tolerance, 0, math.inf),
        ):  # fmt: skip
            is_number = isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)
            if not is_number or not low <= value <= high:
                raise InvalidDeclaration(
                    f"{value!r} is given as {what} of an old system.",
                    why=f"A number from {low} to {high}." if high < math.inf else f"A finite number from {low}.",
                )
        _timeout_us(self.timeout)
        self._check_headers(parts.scheme == "https" or parts.hostname in _HERE)

    def _check_headers(self, is_safe: bool) -> None:
        for name, value in self.headers.items():
            is_secret = any(word in name.lower() for word in _SECRET)
            names_one = "${" in value or is_kept_elsewhere(value)
            if "command:" in value or (is_secret and not names_one) or "\n" in value or "\r" in value:
                raise InvalidDeclaration(
                    f"The header {name!r} of an old system does not name where its secret is kept.",
                    why="Declarations are kept in version control and in records, and run no command.",
                    fix='Name an environment variable: {"Authorization": "Bearer ${OLD_TOKEN}"}',
                )
            if names_one and not is_safe:
                raise InvalidDeclaration(
                    f"The header {name!r} would carry a secret to {self.url!r} in the open.", fix="Use https."
                )

    def spec(self) -> OldSystemSpec:
        """The declaration as data."""
        given = self.fields
        names = dict(given) if isinstance(given, Mapping) else {name: name for name in given}
        return OldSystemSpec(
            url=self.url,
            score=self.score,
            fields=names,
            rows=self.rows,
            headers=dict(self.headers),
            timeout_us=_timeout_us(self.timeout),
            at_once=self.at_once,
            sample=float(self.sample),
            tolerance=float(self.tolerance),
            protocol=self.protocol,
        )


def _timeout_us(written: object) -> int:
    found = re.fullmatch(r"(\d{1,5})(ms|s)", written, re.ASCII) if isinstance(written, str) else None
    us = 0 if found is None else int(found[1]) * (1000 if found[2] == "ms" else 1_000_000)
    if not 0 < us <= _LONGEST_US:
        raise InvalidDeclaration(
            f"{written!r} is no time-out of an old system.", fix="At most a minute: '300ms' or '2s'."
        )
    return us
