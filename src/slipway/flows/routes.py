"""Parity on every route: the reference rows of a bundle, written as the callers of each protocol write them, get its answers.

What a protocol makes of a value is where servers go wrong without a word: a null that becomes NaN, a whole number that
becomes a float, columns in another order. So each bundle is asked in each protocol before it is one.
"""

from __future__ import annotations

import io
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import msgspec
import polars as pl

from slipway.errors import InvalidInput
from slipway.features.edge_cases import Generator
from slipway.flows.contracts import request_fields
from slipway.models.bundle import LoadedModel
from slipway.models.scoring import TOLERANCE
from slipway.records.endpoints import Contract, Revision, Served
from slipway.records.people import Actor
from slipway.records.schema import Field
from slipway.schema.moments import moment
from slipway.schema.types import polars_schema
from slipway.serving import arrow, invocations, v2
from slipway.serving.contracts import ContractReader
from slipway.serving.dialects import Dialect
from slipway.serving.http import UnknownFormat

__all__ = ["prove_routes"]

_REQUESTS = 60
_MOST = 1 << 30
_DATATYPES = {"bool": "BOOL", "int": "INT64", "float": "FP64"}
_FILLERS: Mapping[str, Any] = {"bool": False, "int": 0, "float": 0.0}
_Row = Mapping[str, Any]
_Read = Callable[[bytes, ContractReader], Sequence[Sequence[Any]]]
_Write = Callable[[Sequence[Field], Sequence[_Row]], bytes]


class _Case(NamedTuple):
    name: str
    row: _Row


class _Route(NamedTuple):
    name: str
    write: _Write
    read: _Read | None = None


def prove_routes(model: LoadedModel) -> str:
    """Write rows in every protocol, read them as an endpoint does, and compare what the model is asked.

    The rows are those of the reference sample; where features stand before the model, generated requests with nulls,
    borders and unknown keys. The endpoint's own JSON must give the sample's answers, each other protocol the very rows of
    the endpoint's own JSON, or refuse what that refuses.

    Args:
        model: The packaged model, as it will serve.

    Returns:
        The sentence for the manifest.

    Raises:
        InvalidInput: A route means another row, or an answer differs; route, row and column are named.
    """
    fields = request_fields(model.bundle)
    if not fields:
        return ""
    reader = ContractReader(Contract(fields=fields, max_rows=_MOST, max_bytes=_MOST))
    cases = _cases(model, fields)
    expected = [_read(_Route("JSON", _json), reader, fields, case) for case in cases]
    if model.bundle.features is None:
        _check_answers(model, reader, fields)
    proven, unproven = [], []
    for route in _ROUTES:
        try:
            for case, one in zip(cases, expected, strict=True):
                _compare(route, case, one, _read(route, reader, fields, case), fields)
            proven.append(route.name)
        except UnknownFormat as problem:
            unproven.append(f"{route.name} was not proven: {problem.what}")
    known = list(dict.fromkeys(name.partition(",")[0] for name in proven))
    return " ".join(
        [f"{len(cases)} requests mean the same rows in JSON, {', '.join(known[:-1])} and {known[-1]}.", *unproven]
    )


def _cases(model: LoadedModel, fields: Sequence[Field]) -> list[_Case]:
    names = [field.name for field in fields]
    if model.bundle.features is None:
        return [_Case(case.name, dict(zip(names, case.row, strict=True))) for case in model.cases() or ()]
    drawn = Generator(0).requests(model.bundle.features, _REQUESTS)
    rows = ([None if _is_no_json(value) else value for value in row[:-1]] for row in drawn)  # the last is the time
    return [_Case(f"generated request {place}", dict(zip(names, row, strict=True))) for place, row in enumerate(rows)]


def _is_no_json(value: Any) -> bool:
    return isinstance(value, float) and not math.isfinite(value)


def _read(route: _Route, reader: ContractReader, fields: Sequence[Field], case: _Case) -> list[Any] | None:
    """The row that a request means, None where it is refused."""
    try:
        body = route.write(fields, [case.row])
        rows = reader.decode(body).rows if route.read is None else route.read(body, reader)
        return list(rows[0])
    except UnknownFormat:
        raise
    except InvalidInput:
        return None


def _compare(
    route: _Route, case: _Case, expected: list[Any] | None, found: list[Any] | None, fields: Sequence[Field]
) -> None:
    if found is None or expected is None:
        if found is expected:
            return
        said, other = ("refused", "taken") if found is None else ("taken", "refused")
        raise InvalidInput(f"{case.name} is {said} in {route.name}, and {other} in JSON.", why=_WHY)
    for field, one, other in zip(fields, expected, found, strict=True):
        if one != other or type(one) is not type(other):
            raise InvalidInput(
                f"{case.name}: {field.name!r} is {other!r} in {route.name}, and {one!r} in JSON.",
                why=_WHY,
                field=field.name,
            )


def _check_answers(model: LoadedModel, reader: ContractReader, fields: Sequence[Field]) -> None:
    """Ask the model for the rows that come out of JSON; what a contract refuses gets no answer, training rows do."""
    names = [field.name for field in fields]
    for case in model.cases() or ():
        row = _read(_Route("JSON", _json), reader, fields, _Case(case.name, dict(zip(names, case.row, strict=True))))
        if row is None and not case.column:
            raise InvalidInput(
                f"{case.name} is refused by the contract that its own training set made.",
                why=_WHY,
                fix="Train on a column of one type, without infinite numbers.",
            )
        if row is None or case.answer is None:
            continue
        (answer,) = model.predict_rows([row])
        if abs(answer - case.answer) > TOLERANCE * max(1.0, abs(case.answer)):
            raise InvalidInput(
                f"The model answers {answer!r} to {case.name} out of a request; the trained one {case.answer!r}.",
                why=f"The input {case.column!r} is treated differently." if case.column else _WHY,
                field=case.column,
            )


_WHY = "Callers would get another answer than training did."


def _revision(contract: Contract) -> Revision:
    """What a dialect is told: the contract is all that counts here."""
    return Revision(
        id="proof/proof/1",
        project="proof",
        name="proof",
        created_at=moment("1970-01-01"),
        number=1,
        environment="dev",
        served=Served(model="proof", number=1, bundle=""),
        contract=contract,
        actor=Actor("proof"),
    )


def _plain(rows: Sequence[_Row], fields: Sequence[Field]) -> list[dict[str, Any]]:
    """Rows as JSON writes them, the columns in another order than the contract's."""
    told: list[dict[str, Any]] = msgspec.to_builtins(
        [{field.name: row[field.name] for field in reversed(fields)} for row in rows]
    )
    return told


def _json(fields: Sequence[Field], rows: Sequence[_Row]) -> bytes:
    return msgspec.json.encode({"rows": _plain(rows, fields)})


def _records(fields: Sequence[Field], rows: Sequence[_Row]) -> bytes:
    return msgspec.json.encode({"dataframe_records": _plain(rows, fields)})


def _split(fields: Sequence[Field], rows: Sequence[_Row]) -> bytes:
    told = _plain(rows, fields)
    columns = [field.name for field in reversed(fields)]
    return msgspec.json.encode({"dataframe_split": {"columns": columns, "data": [list(row.values()) for row in told]}})


def _instances(fields: Sequence[Field], rows: Sequence[_Row]) -> bytes:
    return msgspec.json.encode({"instances": _plain(rows, fields)})


def _columns(fields: Sequence[Field], rows: Sequence[_Row]) -> bytes:
    told = _plain(rows, fields)
    return msgspec.json.encode({"inputs": {field.name: [row[field.name] for row in told] for field in fields}})


def _tensors(fields: Sequence[Field], rows: Sequence[_Row]) -> bytes:
    told = _plain(rows, fields)
    inputs = [_tensor(field, [row[field.name] for row in told]) for field in reversed(fields)]
    return msgspec.json.encode({"inputs": inputs})


def _masked(fields: Sequence[Field], rows: Sequence[_Row]) -> bytes:
    """Nulls told beside the tensors, as a client with typed arrays does."""
    return msgspec.json.encode({"inputs": list(_with_masks(fields, _plain(rows, fields)))})


def _with_masks(fields: Sequence[Field], told: Sequence[_Row]) -> Iterator[dict[str, Any]]:
    for field in fields:
        values = [row[field.name] for row in told]
        if None in values:
            yield {
                **_tensor(field, [value is None for value in values]),
                "name": f"{field.name}:null",
                "datatype": "BOOL",
            }
            values = [_FILLERS.get(field.type, "") if value is None else value for value in values]
        yield _tensor(field, values)


def _tensor(field: Field, values: Sequence[Any]) -> dict[str, Any]:
    datatype = _DATATYPES.get(field.type, "BYTES")
    return {"name": field.name, "shape": [len(values)], "datatype": datatype, "data": list(values)}


def _arrow(fields: Sequence[Field], rows: Sequence[_Row]) -> bytes:
    columns = list(reversed(fields))
    data = {field.name: [row[field.name] for row in rows] for field in columns}
    target = io.BytesIO()
    pl.DataFrame(data, schema=polars_schema(tuple(columns)), strict=False).write_ipc_stream(
        target, compression="uncompressed"
    )
    return target.getvalue()


def _in(dialect: Dialect) -> _Read:
    return lambda body, reader: reader.decode(dialect.read(body, {}, _revision(reader.contract)).body).rows


def _in_arrow(body: bytes, reader: ContractReader) -> Sequence[Sequence[Any]]:
    return arrow.opened(body, reader.contract).part(0, 1)


_ROUTES = (
    _Route("V2", _tensors, _in(v2.DIALECT)),
    _Route("V2, nulls beside", _masked, _in(v2.DIALECT)),
    _Route("MLflow's invocations", _split, _in(invocations.DIALECT)),
    _Route("MLflow's invocations, records", _records, _in(invocations.DIALECT)),
    _Route("MLflow's invocations, instances", _instances, _in(invocations.DIALECT)),
    _Route("MLflow's invocations, inputs", _columns, _in(invocations.DIALECT)),
    _Route("Arrow", _arrow, _in_arrow),
)
