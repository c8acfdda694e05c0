"""Arrow streams for bulk, on the endpoint's own predict route: one in, one out.

What reads them is imported with the first such request and by nothing else: an endpoint that nobody sends Arrow to never
has it in memory, and needs none installed.
"""

import msgspec

from slipway import plugins
from slipway.errors import MissingExtra
from slipway.ports.bulk_format import BulkFormat
from slipway.records.endpoints import Revision
from slipway.serving.answers import Answer, fallback_reasons
from slipway.serving.dialects import Dialect, Understood, body_of, check_rows, only_finite
from slipway.serving.http import Headers, TooLarge, UnknownFormat

__all__ = ["ARROW", "DIALECT"]

ARROW = b"application/vnd.apache.arrow.stream"
_COLUMNS = ("id", "score", "decision", "version")


def _read(body: bytes, headers: Headers, revision: Revision) -> Understood:
    contract, arrow = revision.contract, _open()

    def check_text(size: int) -> None:
        if size > contract.max_bytes:
            raise TooLarge(
                f"The texts of the request have more than {contract.max_bytes:,} characters.",
                why="Those that many rows share count for each of them.",
                fix="Send fewer rows a request.",
            )

    columns, count = arrow.read(body, lambda rows: check_rows(rows, contract, "rows"), check_text)
    for name, values in columns.items():
        only_finite(values, name)
    return Understood(body_of(columns, count), lambda answer: _write(arrow, answer))


def _open() -> BulkFormat:
    try:
        found: BulkFormat = plugins.load("bulk", "arrow")()
    except MissingExtra as problem:
        raise UnknownFormat(
            "This endpoint does not read Arrow: pyarrow is not installed where it runs.",
            fix="Send JSON, or ask its operator: pip install 'slipway[arrow]', then start it again.",
        ) from problem
    return found


def _write(arrow: BulkFormat, answer: Answer) -> bytes:
    columns = {name: [getattr(one, name) for one in answer.predictions] for name in _COLUMNS}
    if (reasons := fallback_reasons(answer)) is not None:
        columns["fallback"] = reasons
    said = {"model": msgspec.json.encode(answer.model).decode(), "revision": str(answer.revision)}
    return arrow.write(columns, said)


DIALECT = Dialect(_read, ARROW)
