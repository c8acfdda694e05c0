"""Explanations of answers, beside the path of other requests: one thread, a bounded line before it, and its own limits.

Explaining costs many times an answer. A request that wants it takes its place before anything is scored: where there is
none, it is told to come back, and nothing was answered or logged. An answer that was scored and cannot be explained is
given, and says so.
"""

import asyncio
import logging
from collections.abc import Sequence
from concurrent.futures import Executor, ThreadPoolExecutor
from typing import Any
from urllib.parse import parse_qs

import msgspec

from slipway.errors import InvalidInput, Unavailable
from slipway.ids import new_id
from slipway.records.explanations import Explanation
from slipway.records.predictions import PredictionRow
from slipway.serving.active import Active, Explain
from slipway.serving.http import TooLarge

__all__ = ["MOST_ROWS", "MOST_TOLD", "Explaining", "wanted"]

MOST_ROWS = 20
"""Rows that one request may have explained."""
MOST_TOLD = 100
"""Contributions that may be told one by one."""
_IN_LINE = 4
"""Requests that may be explained or wait for it at once, a worker."""
_HIDDEN = "(personal)"
_encode = msgspec.json.Encoder().encode
_logger = logging.getLogger("slipway.serving")


def wanted(query: bytes, *, is_own: bool = True) -> int:
    """How many contributions a request's query string asks for, 0 for no explanation.

    Args:
        query: The query string.
        is_own: Whether the request is in the endpoint's own protocol, which alone has a place for explanations.

    Raises:
        InvalidInput: `explain` is no whole number from 1 to `MOST_TOLD`, or the protocol is another.
    """
    given = parse_qs(query.decode("latin-1"), keep_blank_values=True).get("explain")
    if given is None:
        return 0
    if not is_own:
        raise InvalidInput(
            "This protocol has no place for explanations.",
            fix="POST JSON to /endpoints/NAME/predict?explain=5, or leave explain out.",
            field="explain",
        )
    text = given[0]
    if len(given) == 1 and text.isascii() and text.isdigit() and 1 <= int(text[:9]) <= MOST_TOLD:
        return int(text)
    raise InvalidInput(
        f"explain is {', '.join(map(repr, given))[:80]}.",
        why=f"It says how many contributions are told one by one: a whole number from 1 to {MOST_TOLD}, once.",
        fix="Ask with ?explain=5, or without it.",
        field="explain",
    )


class Explaining:
    """Explains answered rows.

    Args:
        executor: Where it is done; one thread of its own when left out.
    """

    def __init__(self, executor: Executor | None = None) -> None:
        self._executor = executor or ThreadPoolExecutor(1, thread_name_prefix="explaining")
        self._in_line = 0

    def take_place(self, rows: int) -> None:
        """Take a place in the line, which a request must have before it is scored; `leave_place` gives it back.

        Args:
            rows: How many it has.

        Raises:
            TooLarge: It has more than are explained at once.
            Unavailable: No place is free.
        """
        if rows > MOST_ROWS:
            raise TooLarge(
                f"The request wants {rows:,} rows explained.",
                why=f"At most {MOST_ROWS} a request are: explaining costs many times an answer.",
                fix="Send them in several requests, or without explain.",
                field="rows",
            )
        if self._in_line >= _IN_LINE:
            raise Unavailable(
                "The endpoint explains as many requests as it may at once; nothing was scored.",
                why="Explanations have a budget of their own, so that they hold up no prediction.",
                fix="Ask again in a moment, or without explain.",
            )
        self._in_line += 1

    def leave_place(self) -> None:
        """Give back a place that was taken."""
        self._in_line -= 1

    async def add(self, active: Active, answer: bytes, rows: Sequence[PredictionRow], top: int) -> bytes:
        """An answer with the explanation of each of its predictions, from the model that answered it.

        Args:
            active: What answered.
            answer: The answer as JSON.
            rows: What was answered, in the answer's order.
            top: How many contributions are told one by one.

        """
        loop = asyncio.get_running_loop()
        return await loop.run_in_executor(self._executor, _explained, active, answer, rows, top)


def _explained(active: Active, answer: bytes, rows: Sequence[PredictionRow], top: int) -> bytes:
    said: dict[str, Any] = msgspec.json.decode(answer)
    sent = {field.name for field in active.revision.contract.fields}
    hidden = set(active.revision.personal) - sent if active.revision.by_token else set()
    for prediction, row in zip(said["predictions"], rows, strict=True):
        by = _explainer(active, row)
        found = "The fallback gave this answer." if row.fallback else _one(by, row, top)
        if isinstance(found, str):
            prediction |= {"explanation": None, "unexplained": found}
            continue
        told = tuple(
            msgspec.structs.replace(one, value=_HIDDEN) if one.input in hidden and one.value is not None else one
            for one in found.contributions
        )
        prediction["explanation"] = msgspec.structs.replace(found, contributions=told)
    return _encode(said)


def _explainer(active: Active, row: PredictionRow) -> Explain | None:
    """What explains a row: the model whose inputs it holds."""
    for one in active.challengers:
        if row.bundle == one.plan.served.bundle[:16]:
            return one.explain
    return active.explain


def _one(explain: Explain | None, row: PredictionRow, top: int) -> Explanation | str:
    """An explanation, or the sentence why there is none."""
    if explain is None:
        return "This model's answers cannot be explained."
    try:
        return explain(row.features, row.score, top)
    except InvalidInput as problem:
        return f"{problem.what} {problem.why}".strip()
    except Exception:
        mark = new_id()[-12:]
        _logger.exception("An answer could not be explained. [%s]", mark)
        return f"Explaining failed; the endpoint's operator finds the cause in front.log under {mark}."
