"""Arrow streams for bulk, on the endpoint's own predict route: one in, one out.

What reads them is imported with the first such request and by nothing else: an endpoint that nobody sends Arrow to never
has it in memory, and needs none installed. Columns are validated as a whole where that can be done; where it cannot, by
the very decoder that reads the endpoint's own JSON, so that a value means the same.
"""

import re
from collections.abc import Sequence
from typing import Any

import msgspec

from slipway import plugins
from slipway.errors import InvalidInput, MissingExtra, near
from slipway.ports.bulk_format import BulkFormat, BulkRows, BulkWriter
from slipway.records.endpoints import Contract, Revision
from slipway.records.predictions import PredictionRow
from slipway.records.schema import FieldType
from slipway.schema.validation import decoder
from slipway.serving.answers import Scorer
from slipway.serving.dialects import body_of, only_finite
from slipway.serving.http import TooLarge, UnknownFormat

__all__ = ["ARROW", "Answers", "Stream", "opened", "shifted"]

ARROW = b"application/vnd.apache.arrow.stream"
_COLUMNS: dict[str, FieldType] = {"id": "string", "score": "float", "decision": "bool", "version": "int"}
_ROW = re.compile(r"\brows\[(\d+)\]")


class Stream:
    """The rows of a stream, as a contract takes them.

    Args:
        found: What was read.
        contract: The contract.

    Attributes:
        count: How many rows there are.
        unknown: The columns that the contract does not know.
        is_checked: Whether all of them are known to fit; otherwise each part is checked when it is taken.
    """

    def __init__(self, found: BulkRows, contract: Contract) -> None:
        self.count, self.unknown = found.count, found.unknown
        self._found = found
        self._odd = [place for place, field in enumerate(contract.fields) if field.name in found.unchecked]
        self._odd_fields = tuple(contract.fields[place] for place in self._odd)
        self.is_checked = not self._odd
        self._decoder = decoder(self._odd_fields)

    def part(self, first: int, count: int) -> list[list[Any]]:
        """Some rows, in the contract's order, as the decoder of JSON gives them.

        Raises:
            InvalidInput: One does not fit; it is named by its place in the stream.
        """
        count = min(count, self.count - first)
        columns = self._found.part(first, count)
        if self._odd:
            self._check(columns, first, count)
        return list(map(list, zip(*columns, strict=True))) if columns else [[] for _ in range(count)]

    def _check(self, columns: list[list[Any]], first: int, count: int) -> None:
        odd = {field.name: columns[place] for place, field in zip(self._odd, self._odd_fields, strict=True)}
        try:
            for name, values in odd.items():
                only_finite(values, name)
            rows = self._decoder.decode(body_of(odd, count)).rows
        except InvalidInput as problem:
            raise shifted(problem, first) from None
        for place, checked in zip(self._odd, zip(*rows, strict=True), strict=True):
            columns[place] = list(checked)


def opened(body: bytes, contract: Contract) -> Stream:
    """The rows of a body. May be called in any thread.

    Raises:
        InvalidInput: It is no whole stream, or one that a contract does not take.
        TooLarge: It has more rows than the contract allows, or too much text.
        UnknownFormat: Nothing here reads Arrow.
    """

    def check_rows(rows: int) -> None:
        if rows > contract.bulk_rows:
            raise TooLarge(
                f"The request has {rows:,} rows.",
                why=f"This endpoint takes at most {contract.bulk_rows:,} in an Arrow stream.",
                fix="Send them in several requests, or have a batch endpoint score the table.",
                field="rows",
            )

    def check_text(size: int) -> None:
        if size > contract.bulk_bytes:
            raise TooLarge(
                f"The texts of the request have more than {contract.bulk_bytes:,} bytes.",
                why="Those that many rows share count for each of them.",
                fix="Send fewer rows a request.",
            )

    found = Stream(_format().open(body, contract.fields, check_rows, check_text), contract)
    if found.count == 0:
        raise InvalidInput("The request has no rows.", fix="Send a stream with at least one row.", field="rows")
    if contract.strict and found.unknown:
        raise InvalidInput(
            f"The stream has a column {found.unknown[0]!r}, which this endpoint's contract does not know.",
            why="The contract is strict.",
            fix=near(found.unknown[0], [field.name for field in contract.fields], what="fields"),
            field=found.unknown[0],
        )
    return found


def shifted(problem: InvalidInput, first: int) -> InvalidInput:
    """A refusal of a part's row, told by the row's place in the stream."""
    if not first:
        return problem

    def move(text: str) -> str:
        return _ROW.sub(lambda found: f"rows[{int(found[1]) + first}]", text)

    return type(problem)(move(problem.what), why=problem.why, fix=problem.fix, field=move(problem.field))


class Answers:
    """The stream of a request's answers, made part by part.

    Args:
        revision: What answers.
        has_fallback: Whether something stands behind the model: the stream then has a column that says where it answered.
    """

    def __init__(self, revision: Revision, *, has_fallback: bool) -> None:
        said = {
            "model": msgspec.json.encode(Scorer.model_of(revision.served)).decode(),
            "revision": str(revision.number),
        }
        self._has_fallback = has_fallback
        more: dict[str, FieldType] = {"fallback": "string"} if self._has_fallback else {}
        self._writer: BulkWriter = _format().writer(_COLUMNS | more, said)
        self._parts = [self._writer.head]
        self.fallen = 0

    def add(self, rows: Sequence[PredictionRow]) -> None:
        """Take the answers to the next rows."""
        columns: list[list[Any]] = [[getattr(row, name) for row in rows] for name in _COLUMNS]
        if self._has_fallback:
            columns.append([row.fallback for row in rows])
            self.fallen += sum(row.fallback != "" for row in rows)
        self._parts.append(self._writer.rows(columns))

    def whole(self) -> list[bytes]:
        """All of it, in parts."""
        return [*self._parts, self._writer.tail]


def _format() -> BulkFormat:
    try:
        found: BulkFormat = plugins.load("bulk", "arrow")()
    except MissingExtra as problem:
        raise UnknownFormat(
            "This endpoint does not read Arrow: pyarrow is not installed where it runs.",
            fix="Send JSON, or ask its operator: pip install 'slipway[arrow]', then start it again.",
        ) from problem
    return found
