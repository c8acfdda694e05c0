"""What if an input were another: a version is asked about a row as it is, as it would be, and for the least that turns it."""

from __future__ import annotations

import math
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import msgspec
import numpy as np
from numpy.typing import NDArray

from slipway.errors import Denied, InvalidInput, NotFound, near
from slipway.flows.flips import smallest_flip
from slipway.flows.stored_rows import StoredRows, stored_rows
from slipway.flows.trained_on import check_readable_behind, personal_inputs
from slipway.models import bundle as bundles
from slipway.models import registry
from slipway.models.bundle import LoadedModel
from slipway.models.explained_words import BEHAVIOUR
from slipway.operations.models import AskedRow, Turned, WhatIf, WhatIfAnswer
from slipway.ports.workspace import Workspace
from slipway.records.schema import Field
from slipway.serving.contracts import key_text
from slipway.tables.personal import MASK, may_see

__all__ = ["what_if"]

_MOST_TOLD = 100
_MISSING = "null"
_BOOLS = {"true": True, "yes": True, "false": False, "no": False}
_KNOWN = 2000
"""Rows among which other values are looked for."""


class _Row(NamedTuple):
    """A row to ask about: what it is called, its values, and the inputs whose values are not shown."""

    name: str
    values: list[Any]
    hidden: frozenset[str]


def what_if(workspace: Workspace, request: WhatIf) -> WhatIfAnswer:
    """Ask a version about a row, with some inputs changed.

    Raises:
        NotFound: No such model, version or row; or the version has no bundle.
        InvalidInput: An input is unknown or missing, a value does not fit, or the JSON cannot be read.
        Denied: A table behind the model names its readers, or a personal input of a stored row is to be changed by somebody
            who may not see it.
    """
    version = registry.find(workspace, request.name, request.version)
    if not version.bundle:
        raise NotFound(
            f"Version {version.number} of {version.name!r} has no bundle that could be asked.",
            fix="Package the model with Slipway: return it from a pipeline.",
        )
    bundle = registry.bundle_of(workspace, version)
    check_readable_behind(workspace, bundle)
    with tempfile.TemporaryDirectory(prefix="slipway-what-if-") as temporary:
        folder = Path(temporary) / "bundle"
        bundles.unpack(workspace, version.manifest, folder, signature=version.signature, expect=version.bundle)
        model = bundles.load(folder, expect=version.bundle, signer=workspace.signer)
        known = _known(workspace, model)
        sees = may_see(workspace.actor)
        hidden = frozenset() if sees else personal_inputs(workspace, version, bundle)
        row = _given(model, request.given) if request.given else _stored(known, request.row, hidden, sees=sees)
        changed = _changed(model.signature.inputs, request.changed)
        _check_hidden(workspace, row, changed)
        return _answer(request, model, version.number, row, changed, known, hidden)


def _answer(
    request: WhatIf, model: LoadedModel, number: int, row: _Row, changed: Mapping[str, Any],
    known: StoredRows | Sequence[Sequence[Any]], hidden: frozenset[str],
) -> WhatIfAnswer:  # fmt: skip
    fields = model.signature.inputs
    keep = _kept(fields, request.keep)
    after = [changed.get(field.name, value) for field, value in zip(fields, row.values, strict=True)]
    rows = known.values if isinstance(known, StoredRows) else known
    threshold, turned = model.decision.threshold, None
    if threshold is not None and rows:
        chosen = [rows[i] for i in np.linspace(0, len(rows) - 1, min(_KNOWN, len(rows))).astype(int).tolist()]
        found = smallest_flip(
            lambda asked: _tolerant(model, asked), fields, after, threshold, chosen,
            keep=frozenset(i for i, field in enumerate(fields) if field.name in keep | hidden),
        )  # fmt: skip
        if found is not None:
            turned = Turned(
                changes={fields[place].name: value for place, value in found.values.items()},
                score=found.score,
                decision=found.score >= threshold,
                passed=found.size,
            )
    before = _asked(model, row, row.values, ())
    return WhatIfAnswer(
        model=request.name,
        version=number,
        row=row.name,
        before=before,
        after=_asked(model, row, after, tuple(changed)) if changed else None,
        threshold=threshold,
        turned=turned,
        behaviour=BEHAVIOUR,
    )


def _tolerant(model: LoadedModel, rows: list[list[Any]]) -> NDArray[np.float64]:
    """Answers to rows that nobody ever had; NaN where the model refuses one."""
    try:
        return np.asarray(model.predict_rows(rows), dtype=np.float64)
    except InvalidInput:
        if len(rows) == 1:
            return np.full(1, np.nan)
        return np.concatenate([_tolerant(model, [row]) for row in rows])


def _asked(model: LoadedModel, row: _Row, values: list[Any], changed: Sequence[str]) -> AskedRow:
    hidden = row.hidden - set(changed)
    score, threshold = model.predict_rows([values])[0], model.decision.threshold
    explanation, why = None, ""
    try:
        found = model.explain(values, score, _MOST_TOLD)
        told = tuple(
            msgspec.structs.replace(one, value=MASK) if one.input in hidden else one for one in found.contributions
        )
        explanation = msgspec.structs.replace(found, contributions=told)
    except InvalidInput as problem:
        why = f"{problem.what} {problem.why}".strip()
    names = [field.name for field in model.signature.inputs]
    return AskedRow(
        values={name: MASK if name in hidden else value for name, value in zip(names, values, strict=True)},
        score=score,
        decision=None if threshold is None else score >= threshold,
        explanation=explanation,
        unexplained=why,
    )


def _check_hidden(workspace: Workspace, row: _Row, changed: Mapping[str, Any]) -> None:
    tried = sorted(row.hidden & changed.keys())
    if tried:
        raise Denied(
            f"{workspace.actor.name} may not change {tried[0]!r} of a stored row.",
            why="Its values tell of a person: which of them leaves the answer as it is would tell the row's own.",
            fix="Give a row of your own: --given '{...}'",
        )


def _known(workspace: Workspace, model: LoadedModel) -> StoredRows | list[list[Any]]:
    """The rows that it was evaluated on; without them the reference rows of its bundle."""
    try:
        return stored_rows(workspace, model)
    except NotFound:
        return [case.row for case in model.cases() or () if not case.column]


def _stored(known: StoredRows | list[list[Any]], wanted: str, hidden: frozenset[str], *, sees: bool) -> _Row:
    rows = known.values if isinstance(known, StoredRows) else known
    if not rows:
        raise NotFound(
            "No row of this version is stored: they were erased.", fix="Give one: --given '{\"months\": 3, ...}'"
        )
    text = wanted or "#1"
    if text.startswith("#"):
        number = int(text[1:]) if text[1:].isascii() and text[1:].isdigit() else 0
        if not 1 <= number <= len(rows):
            raise NotFound(f"There is no row {text}.", fix=f"Name one from #1 to #{len(rows)}.")
        return _Row(f"row {number} of the stored rows", list(rows[number - 1]), hidden)
    return _of_key(known, text, hidden, sees=sees)


def _of_key(known: StoredRows | list[list[Any]], text: str, hidden: frozenset[str], *, sees: bool) -> _Row:
    training = known.training if isinstance(known, StoredRows) else None
    fix = f"Name one by its number, from #1 to #{len(known.values if isinstance(known, StoredRows) else known)}."
    if not isinstance(known, StoredRows) or training is None or not set(training.key) <= set(known.frame.columns):
        raise NotFound(f"The stored rows have no key by which {text!r} could be found.", fix=fix)
    if not sees and set(training.key) & known.personal:  # whose row it is must not be found out by trying
        raise Denied("Rows are not found by a key that tells of a person.", fix=fix)
    for index, key in enumerate(known.frame.select(training.key).iter_rows()):
        if key_text(key) == text:
            return _Row(known.row_named(index), list(known.values[index]), hidden)
    raise NotFound(
        f"No row that it was evaluated on has the key {text!r}.", why=f"The key is {' | '.join(training.key)}.", fix=fix
    )


def _given(model: LoadedModel, text: str) -> _Row:
    values, fields = _object(text, "given"), model.signature.inputs
    _check_names(fields, values, "given")
    lacking = [field.name for field in fields if field.name not in values and not field.nullable]
    if lacking:
        raise InvalidInput(
            f"The row lacks {', '.join(lacking)}.", why="The model refuses a row without it.", field="given"
        )
    return _Row("the given row", [_fitting(field, values.get(field.name)) for field in fields], frozenset())


def _changed(fields: Sequence[Field], text: str) -> dict[str, Any]:
    values = _object(text, "changed") if text else {}
    _check_names(fields, values, "changed")
    return {field.name: _fitting(field, values[field.name]) for field in fields if field.name in values}


def _kept(fields: Sequence[Field], text: str) -> set[str]:
    names = {name.strip() for name in text.split(",") if name.strip()}
    _check_names(fields, dict.fromkeys(names), "keep")
    return names


def _check_names(fields: Sequence[Field], values: Mapping[str, Any], where: str) -> None:
    names = [field.name for field in fields]
    for name in values:
        if name not in names:
            raise InvalidInput(f"The model has no input {name!r}.", fix=near(name, names, what="inputs"), field=where)


def _object(text: str, field: str) -> dict[str, Any]:
    try:
        return msgspec.json.decode(text, type=dict[str, Any])
    except (msgspec.DecodeError, RecursionError) as problem:
        raise InvalidInput(
            f"{field} is no JSON object: {problem}.", fix='Give values by input: {"months": 3}', field=field
        ) from problem


def _fitting(field: Field, value: Any) -> Any:
    """A value as the input takes it, out of JSON or out of words: "3" where a number is due, 3 where a text is.

    Raises:
        InvalidInput: It is none.
    """
    if value is None or value == _MISSING:
        if field.nullable:
            return None
        raise InvalidInput(f"{field.name} cannot be missing.", why="The model refuses such a row.", field=field.name)
    if field.type in ("category", "string"):
        return value if isinstance(value, str) else str(value)
    if isinstance(value, str):
        value = _BOOLS.get(value.lower()) if field.type == "bool" else _number(value)
    if field.type == "int" and isinstance(value, float) and value.is_integer():
        return int(value)
    kinds = {"bool": bool, "int": int, "float": int | float}
    if not isinstance(value, kinds.get(field.type, object)) or (isinstance(value, bool) and field.type != "bool"):
        raise InvalidInput(
            f"{field.name} does not take that value.", why=f"It is of type {field.type}.",
            fix=f"Give a value of this type, or {_MISSING} where it may be missing.", field=field.name,
        )  # fmt: skip
    return value


def _number(text: str) -> float | None:
    try:
        found = float(text)
    except ValueError:
        return None
    return found if math.isfinite(found) else None
