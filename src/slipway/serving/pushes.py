"""What comes in beside predict requests: labels, and rows for the online store."""

import time
from collections.abc import Callable, Sequence
from datetime import datetime, timedelta
from typing import Annotated, Any, Literal, Protocol, TypeVar

import msgspec

from slipway.errors import InvalidInput, near
from slipway.records.predictions import LabelRow, PushedRow
from slipway.serving.active import Active, Received, RowsCheck
from slipway.serving.contracts import ContractReader
from slipway.serving.scoring import microseconds

__all__ = ["EventsBody", "LabelsBody", "decode_body", "event_rows", "find_check", "label_rows", "take_in"]

T = TypeVar("T")
_encode = msgspec.msgpack.Encoder().encode
_MARGIN = 32  # the log is written from further down the stack, where there is less room for nesting
_CLOCKS_DIFFER = timedelta(minutes=1)
Instant = Annotated[datetime, msgspec.Meta(tz=True)]
Revision = Annotated[int, msgspec.Meta(ge=0, lt=1 << 53)]


class Label(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One label: the truth for one prediction, named by its id or by the contract's key, or for a key at a time."""

    value: bool | float
    prediction: str = ""
    key: dict[str, Any] | None = None
    observed_at: Instant | None = None
    at: Instant | None = None
    revision: Revision = 0


class LabelsBody(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """`{"labels": [{"prediction": ID, "value": 1}]}`, or with `"key": {...}` instead of the prediction's id; optional are `observed_at`, `at` and `revision`."""

    labels: list[Label]


class EventsBody(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """`{"source": TABLE, "rows": [...]}` or `{"view": VIEW, "rows": [...]}`."""

    rows: list[dict[str, Any]]
    source: str = ""
    view: str = ""


def decode_body(body: bytes, kind: type[T]) -> T:
    """Decode a body of a declared shape.

    Raises:
        InvalidInput: It is no JSON or of another shape; the field is named as `labels[3].value`.
    """
    try:
        return msgspec.json.decode(body, type=kind)
    except msgspec.ValidationError as problem:
        said, _, path = str(problem).partition(" - at `$")
        field = path.rstrip("`").lstrip(".")
        raise InvalidInput(
            f"{field or 'The request'} does not fit: {said[0].lower()}{said[1:]}.".replace("`", "'"),
            fix=f"The shape is {(kind.__doc__ or '').rstrip('.')}.",
            field=field,
        ) from problem
    except RecursionError as problem:
        raise _too_deep() from problem
    except (msgspec.DecodeError, UnicodeDecodeError) as problem:
        said = "a text in it is not UTF-8" if isinstance(problem, UnicodeDecodeError) else str(problem)
        raise InvalidInput(f"The request's body is no JSON: {said}.", fix="Send a JSON object, in UTF-8.") from problem


def _too_deep() -> InvalidInput:
    return InvalidInput("The request is nested too deeply.", why="Labels and rows are flat objects.")


class HasContract(Protocol):
    """What knows how labels' keys are read."""

    @property
    def contract(self) -> ContractReader:
        """The contract."""
        ...


def label_rows(body: LabelsBody, active: HasContract, now: datetime) -> list[LabelRow]:
    """Check labels and bring them into the log's form.

    Raises:
        InvalidInput: A label names no prediction or two, its key does not fit the contract, it was observed in the
            future, or it names a time where the endpoint takes no such labels.
    """
    received_us = time.time_ns() // 1000
    rows = []
    for i, label in enumerate(body.labels):
        observed_us = microseconds(_observed(i, label, now))
        key = _key(i, label, active)
        since_us, until_us = _span(i, label, active.contract.contract.label_window_us)
        rows.append(
            LabelRow(
                label.prediction,
                key,
                float(label.value),
                observed_us,
                received_us,
                label.revision,
                since_us,
                until_us,
                microseconds(now),
            )
        )
    return rows


def _span(i: int, label: Label, window_us: int) -> tuple[int | None, int | None]:
    """After which and until which decision a label by key and time judges; None twice for any other label."""
    if label.at is None:
        return None, None
    if label.prediction:
        raise InvalidInput(
            f"Label {i} names both a prediction and a time.",
            why="A prediction's id says by itself which decision is meant.",
            fix="Leave 'at' out, or give 'key' in place of 'prediction'.",
            field=f"labels[{i}].at",
        )
    if not window_us:
        raise InvalidInput(
            f"Label {i} names a time, and this endpoint does not say how far such a label reaches back.",
            fix="Declare it, sw.Endpoint(..., label_window='2d'), and deploy; or leave 'at' out.",
            field=f"labels[{i}].at",
        )
    until_us = microseconds(label.at)
    return until_us - window_us, until_us


def _observed(i: int, label: Label, now: datetime) -> datetime:
    """When a label was observed: now, where it does not say."""
    observed = label.observed_at or now
    if observed > now + _CLOCKS_DIFFER:
        raise InvalidInput(
            f"labels[{i}].observed_at is {observed.isoformat()}, and here it is {now.isoformat()}.",
            why="A label cannot have been observed in the future.",
            fix="Leave 'observed_at' out for now, or correct it.",
            field=f"labels[{i}].observed_at",
        )
    return observed


def _key(i: int, label: Label, active: HasContract) -> str:
    key = active.contract.contract.key
    if bool(label.prediction) == (label.key is not None):
        raise InvalidInput(
            f"Label {i} names {'both a prediction and a key' if label.prediction else 'no prediction'}.",
            fix="Give either 'prediction', the id that came with the answer"
            + (f", or 'key' with {', '.join(key)}." if key else "."),
            field=f"labels[{i}]",
        )
    if label.key is None:
        return ""
    if not key:
        raise InvalidInput(
            f"Label {i} names its prediction by a key, and this endpoint's contract has none.",
            fix="Give 'prediction', the id that came with the answer.",
            field=f"labels[{i}].key",
        )
    return active.contract.decode_key(label.key, f"labels[{i}].key")


def find_check(body: EventsBody, active: Active) -> tuple[Literal["source", "view"], str, RowsCheck]:
    """What pushed rows are for, its name, and the check of its rows.

    Raises:
        InvalidInput: The body names none, both, or one that this endpoint's features do not read.
    """
    if bool(body.source) == bool(body.view):
        raise InvalidInput(
            "The push names both a source and a view." if body.source else "The push names neither source nor view.",
            fix='Send {"source": TABLE, "rows": [...]} or {"view": VIEW, "rows": [...]}.',
            field="source",
        )
    kind: Literal["source", "view"] = "source" if body.source else "view"
    name, known = (body.source, active.sources) if body.source else (body.view, active.views)
    if name not in known:
        if name in (active.views if body.source else active.sources):
            other = "view" if body.source else "source"
            raise InvalidInput(
                f"{name!r} is a {other} of this endpoint's features, and the push names it as a {kind}.",
                fix=f'Send {{"{other}": "{name}", "rows": [...]}}.',
                field=kind,
            )
        raise InvalidInput(
            f"This endpoint's features read no {kind} {name!r}.", fix=near(name, known, what=f"{kind}s"), field=kind
        )
    return kind, name, known[name]


def take_in(
    active: Active,
    kind: Literal["source", "view"],
    name: str,
    rows: Sequence[dict[str, Any]],
    append: Callable[[list[PushedRow]], None],
) -> Received:
    """Put checked rows into the online store, and into their log.

    Raises:
        InvalidInput: A row holds what store or log cannot.
        BackendError: Store or log failed; sent again, what was stored already changes nothing.
    """
    logged = event_rows(kind, name, rows)  # before the store changes: a row may not fit the log
    received = active.receive(name, rows)
    append(logged)
    return received


def event_rows(kind: Literal["source", "view"], name: str, rows: Sequence[dict[str, Any]]) -> list[PushedRow]:
    """Pushed rows in the log's form.

    Raises:
        InvalidInput: A row holds what the log cannot.
    """
    received_us = time.time_ns() // 1000
    made = [PushedRow(kind, name, received_us, row) for row in rows]
    for i, row in enumerate(made):
        deeper: Any = row
        for _ in range(_MARGIN):
            deeper = [deeper]
        try:
            _encode(deeper)
        except RecursionError as problem:
            raise _too_deep() from problem
        except OverflowError as problem:
            raise InvalidInput(
                f"rows[{i}] has a whole number of more than 64 bits.",
                why="The log keeps whole rows, and whole numbers up to 64 bits.",
                fix="Send it as a string, or leave it out.",
                field=f"rows[{i}]",
            ) from problem
    return made
