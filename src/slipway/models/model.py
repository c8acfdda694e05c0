"""The trained model, before it is packaged."""

from __future__ import annotations

import copy
import shutil
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec
import numpy as np

from slipway.errors import Corrupt, InvalidDeclaration, InvalidInput
from slipway.hashing import combine, digest, fingerprint
from slipway.models.batch_inputs import InputBatches
from slipway.models.cases import check_alone, check_served, edge_cases, positions, training_cases
from slipway.models.compiled.compilation import Compilation, compiled_and_proven
from slipway.models.explain import Explainer
from slipway.models.formats import format_for, format_named
from slipway.models.frames import column_names, field_of, is_frame, plain_rows, take
from slipway.models.inputs import Inputs, inputs_of_array
from slipway.models.inputs import inputs as fix_inputs
from slipway.models.known import Known
from slipway.models.prepared import PREPARE, OwnFolder, Prepared, load_prepared, rows_in
from slipway.models.price_limits import within_all
from slipway.models.profiled import decision_times, decision_times_of, profiled, with_hours
from slipway.models.scoring import Scorer
from slipway.models.state import EVALUATED_FILE, STATE_FILE, Case, Evaluation, ModelState, decode_state, encode_state
from slipway.models.taught import taught_by
from slipway.ports.model_format import FrameColumn, ModelFormat, Task
from slipway.records.explanations import Explained, Explanation
from slipway.records.models import Decision
from slipway.records.schema import Field, Signature
from slipway.schema.encoding import is_null
from slipway.stats.profiles import POOL, Column, Profile, from_bytes, profile, to_bytes
from slipway.tables.row_batches import Batches

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["SCORE", "Model", "load"]

_ESTIMATOR = "estimator"
_PROFILE = "profile.bin"
_JUDGED_ON = "judged-on"
SCORE = "score"


class Model:
    """A fitted estimator with everything that serving it rightly needs.

    Args:
        estimator: A LightGBM or XGBoost booster, a scikit-learn estimator or pipeline, a PyTorch network, a model of ONNX
            (itself, its bytes or a path), or, with `trust` or `trust_pickle`, any object with `predict`.
        inputs: The inputs that it was trained on, for an estimator that was fitted on `inputs.matrix`.
        sample: Rows that it was trained on, for an estimator that was fitted on a frame (pandas or Polars) or on an
            array: their names, types and missing values are how it will be asked. One of `inputs` and `sample` is due.
        decision: What is done with a score: `sw.threshold(...)`, or `sw.price(...)` of a regression.
        task: "classification" or "regression", where the estimator does not say.
        output: The answer's name.
        trust: Full names of types outside the framework that may be loaded in an endpoint.
        trust_pickle: Keep it as a pickle. Loading a pickle may run any code.
        format: The name of an installed plug-in that keeps it: see docs/plug-ins.md.
        prepare: A function of the project that makes rows as a request carries them into what the estimator takes:
            `prepare(rows)`, or `prepare(rows, known)`. Frame in, frame out; it is released with the model, and what it
            makes of one row must not depend on the rows beside it. `sample` then holds rows as `prepare` takes them.
        known: What `prepare` knows from training: means, categories, fitted transformers.
        columns: With `prepare`, the columns that a request carries; the sample's others get a value that must not matter.
        at: With `sample`, when each of its rows was decided, a series of aware instants: see `at` of `sw.inputs`.

    Raises:
        InvalidDeclaration: Neither or both of `inputs` and `sample` are given, or `prepare` does not fit.
        InvalidInput: The estimator cannot be served, or its inputs cannot be described; the sentence says which.
    """

    slipway_format = "model"

    def __init__(
        self,
        estimator: Any,
        *,
        inputs: Inputs | InputBatches | None = None,
        sample: Any = None,
        decision: Decision | None = None,
        task: Task | None = None,
        output: str = "score",
        trust: Sequence[str] = (),
        trust_pickle: bool = False,
        format: str = "",
        prepare: Callable[..., Any] | None = None,
        known: Known | None = None,
        columns: Sequence[str] | None = None,
        at: Any = None,
    ) -> None:
        _check_given(inputs, sample, at)
        self._format = format_for(estimator, trust_pickle=trust_pickle, trust=trust, plugin=format)
        estimator = self._format.opened(estimator)
        found = task or self._format.task(estimator)
        if found is None:
            raise InvalidInput(
                f"The {type(estimator).__name__} does not say what it predicts.",
                fix="Say it: sw.Model(..., task='classification') or task='regression'.",
            )
        _check_declared(prepare, known, columns, inputs, decision, found)
        prepared = self._prepared = None if prepare is None else Prepared.of(prepare, known, sample, columns)
        fitted = _on_prepared(prepared, sample) if prepared else _fitted_on(self._format, estimator, inputs, sample)
        self.estimator = self._format.as_kept(estimator, fitted.native)
        original = (self._format, self.estimator)
        asked = Signature(fitted.fields, ())
        scorer = Scorer(lambda: original, found, asked, fitted.layout, prepared, decision=decision)
        limited = within_all(decision or Decision()) or np.asarray
        answers = limited(self._format.predict(estimator, fitted.native, found))
        cases = training_cases(fitted.positions, fitted.rows, answers)
        check_served(cases, scorer, fitted.native) if prepared is None else check_alone(cases, scorer)
        edges = edge_cases(fitted.fields, cases, scorer)
        self.state = ModelState(
            format=self._format.name,
            task=found,
            signature=Signature(_nullable(fitted.fields, edges), (Field(output, "float", nullable=False),)),
            layout=fitted.layout,
            cases=cases + edges,
            decision=decision or Decision(),
            label=inputs.label if inputs is not None else "",
            rows=fitted.n_rows,
            trust=tuple(trust),
            prepare=self._prepared.content() if self._prepared else "",
            taught=taught_by(_taught_rows(inputs, sample)),
        )
        times = decision_times(inputs.frame, inputs.at) if isinstance(inputs, Inputs) else decision_times_of(at)
        self.profile: Profile = with_hours(fitted.profile, times)
        self.evaluated = b""
        self.judged_on: Batches | None = None
        self._scorer = scorer
        self._explainer = Explainer(scorer, found, lambda: cases)
        self._content = ""

    @property
    def signature(self) -> Signature:
        """What the model takes and gives."""
        return self.state.signature

    @property
    def task(self) -> Task:
        """What it predicts."""
        return self.state.task

    @property
    def prepared(self) -> Prepared | None:
        """The function that prepares rows, None where the estimator takes them as they are."""
        return self._prepared

    @property
    def decision(self) -> Decision:
        """What is done with a score."""
        return self.state.decision

    @property
    def evaluation(self) -> Evaluation | None:
        """How good it was on rows it was not trained on, None before `sw.evaluate`."""
        return self.state.evaluation

    def predict(self, frame: Any) -> NDArray[np.float64]:
        """The scores of a frame's rows, exactly as an endpoint will answer them.

        Args:
            frame: A Polars or pandas DataFrame with the model's inputs, in any order, among others.

        Returns:
            float64 of shape `(n_rows,)`: the probability of the positive class, or the value.

        Raises:
            InvalidInput: An input is missing or does not fit.
        """
        return self._scorer.frame(frame)

    def predict_rows(self, rows: Sequence[Sequence[Any]]) -> list[float]:
        """The scores of rows of plain values in the signature's order.

        Raises:
            InvalidInput: A value does not fit, or the estimator refuses a row.
        """
        scores: list[float] = self._scorer.rows(rows).tolist()
        return scores

    def explain(self, row: Sequence[Any], top: int = 5) -> Explanation:
        """How the answer to one row comes about, exactly as an endpoint will tell it.

        Args:
            row: Plain values in the signature's order.
            top: How many contributions are told one by one, the greatest first.

        Raises:
            InvalidInput: A value does not fit, or the answer cannot be explained.
        """
        return self._explainer(row, self.predict_rows([row])[0], top)

    def compiled(self) -> Compilation:
        """The estimator compiled to plain data and proven to answer as it does, or why it is not."""
        if self._prepared is not None:
            return Compilation(None, "a function of the project prepares its rows")
        if not self.decision.is_price:
            return compiled_and_proven(self._format, self.estimator, self.state, self.predict_rows)
        # The program is the estimator without limits, which are set upon either.
        original = (self._format, self.estimator)
        bare = Scorer(lambda: original, self.task, self.signature, self.state.layout)

        def ask(rows: Sequence[Sequence[Any]]) -> list[float]:
            return [float(score) for score in bare.rows(rows)]

        cases = tuple(
            case if case.answer is None else msgspec.structs.replace(case, answer=ask([case.row])[0])
            for case in self.state.cases
        )
        return compiled_and_proven(self._format, self.estimator, msgspec.structs.replace(self.state, cases=cases), ask)

    def with_evaluation(
        self, evaluation: Evaluation, evaluated: bytes, scores: Column, judged_on: Batches | None = None
    ) -> Model:
        """The same model with what was found on rows that it was not trained on.

        Args:
            evaluation: What was found.
            evaluated: The scored rows as a Parquet file, for comparisons on the same rows.
            scores: What it scored them: the reference of later scores.
            judged_on: The rows, where they were batches of a stored table and `evaluated` holds but some.
        """
        other = copy.copy(self)
        other.state = msgspec.structs.replace(self.state, evaluation=evaluation)
        other.evaluated = evaluated
        other.judged_on = judged_on
        inputs = {field.name for field in self.signature.inputs}
        columns = [column for column in self.profile.columns if column.name in inputs]
        score = msgspec.structs.replace(scores, name=SCORE)
        other.profile = msgspec.structs.replace(self.profile, columns=(*columns, score), predictions=(SCORE,))
        return other

    def with_explained(self, explained: Explained) -> Model:
        """The same model with what its answers rest on."""
        other = copy.copy(self)
        other.state = msgspec.structs.replace(self.state, explained=explained)
        return other

    def save_estimator(self, folder: Path) -> None:
        """Write the estimator's files into an existing empty folder, in its format."""
        self._format.save(self.estimator, folder, trust=self.state.trust)

    def save_prepare(self, folder: Path) -> None:
        """Write the function that prepares rows, with its code and what it knows, into a folder of `folder`, where there is one."""
        if self._prepared is not None:
            (folder / PREPARE).mkdir()
            self._prepared.save(folder / PREPARE)

    def slipway_fingerprint(self) -> str:
        """Equal for models that answer alike and know the same of themselves."""
        return combine(self.state.format, self._content_digest(), fingerprint(self.state))

    def slipway_save(self, folder: Path) -> None:
        """Keep the model in an existing empty folder; `load` reads it again."""
        (folder / _ESTIMATOR).mkdir()
        self.save_estimator(folder / _ESTIMATOR)
        (folder / STATE_FILE).write_bytes(encode_state(self._content_digest(), self.state))
        (folder / _PROFILE).write_bytes(to_bytes(self.profile))
        self.save_prepare(folder)
        if self.evaluated:
            (folder / EVALUATED_FILE).write_bytes(self.evaluated)
        if self.judged_on is not None:
            (folder / _JUDGED_ON).mkdir()
            self.judged_on.keep_in(folder / _JUDGED_ON)

    @classmethod
    def slipway_load(cls, folder: Path) -> Model:
        """The model that `slipway_save` kept; see `load`."""
        return load(folder)

    def _content_digest(self) -> str:
        if not self._content:
            self._content = digest(self._format.content(self.estimator))
        return self._content

    def __repr__(self) -> str:
        inputs = len(self.signature.inputs)
        return f"<Model {type(self.estimator).__name__}: {self.task}, {inputs} inputs, kept as {self.state.format}>"


def load(folder: Path) -> Model:
    """The model that `Model.slipway_save` kept in a folder.

    Raises:
        Corrupt: The folder does not hold one.
    """
    try:
        content, state = decode_state((folder / STATE_FILE).read_bytes())
    except OSError as problem:
        raise Corrupt(f"{folder} does not hold a model: {problem}.") from problem
    model = Model.__new__(Model)
    model._format = format_named(state.format)
    model.estimator = model._format.load(folder / _ESTIMATOR)
    model.state = state
    model.profile = from_bytes((folder / _PROFILE).read_bytes())
    model.evaluated = (folder / EVALUATED_FILE).read_bytes() if (folder / EVALUATED_FILE).exists() else b""
    # Its rows may be gone by now, and are wanted by nobody but who asks what it was judged on.
    model.judged_on = Batches.kept_in(folder / _JUDGED_ON) if (folder / _JUDGED_ON).is_dir() else None
    model._prepared = _own_prepared(folder)
    original = (model._format, model.estimator)
    model._scorer = Scorer(
        lambda: original, state.task, state.signature, state.layout, model._prepared, decision=state.decision
    )
    model._explainer = Explainer(model._scorer, state.task, lambda: state.cases)
    model._content = content
    return model


def _own_prepared(folder: Path) -> Prepared | None:
    """The function that prepares rows, imported from a folder that lives as long as it does."""
    if not (folder / PREPARE).is_dir():
        return None
    own = OwnFolder()
    shutil.copytree(folder / PREPARE, own.path / PREPARE)
    return load_prepared(own.path, own)


def _check_given(inputs: Inputs | InputBatches | None, sample: Any, at: Any) -> None:
    if (inputs is None) == (sample is None) or (inputs is not None and at is not None):
        raise InvalidDeclaration(
            f"The model was given {'no inputs and no sample' if inputs is None else 'inputs, and a sample or times'}.",
            why="One of them says what the estimator was fitted on, and when its rows were decided.",
            fix="sw.Model(booster, inputs=inputs) after sw.inputs(...), or sw.Model(estimator, sample=X).",
        )


def _check_declared(
    prepare: Callable[..., Any] | None,
    known: Known | None,
    columns: Sequence[str] | None,
    inputs: object,
    decision: Decision | None,
    task: Task,
) -> None:
    _check_price(decision, task)
    if prepare is None and (known is not None or columns is not None):
        raise InvalidDeclaration(
            f"The model was given {'known' if known is not None else 'columns'} without prepare.",
            why="They say what preparing a row needs.",
            fix="sw.Model(estimator, sample=rows, prepare=prepare, known=known)",
        )
    if prepare is not None and inputs is not None:
        raise InvalidDeclaration(
            "The model was given prepare and inputs.",
            why="prepare makes the estimator's inputs out of rows as they are loaded.",
            fix="sw.Model(estimator, sample=rows, prepare=prepare)",
        )


def _check_price(decision: Decision | None, task: Task) -> None:
    if decision is not None and decision.is_price and task != "regression":
        raise InvalidDeclaration(
            f"A {task} was given sw.price(...) as its decision.",
            why="Its score is a probability, and no price.",
            fix="Let a regression answer with the price, or decide by sw.threshold(...).",
        )


class _Fitted(msgspec.Struct, frozen=True, kw_only=True):
    """What an estimator was fitted on, and the rows of it that become cases."""

    fields: tuple[Field, ...]
    layout: tuple[FrameColumn, ...]
    positions: list[int]
    rows: list[list[Any]]
    native: Any
    n_rows: int
    profile: Profile


def _fitted_on(format: ModelFormat, estimator: Any, inputs: Inputs | InputBatches | None, sample: Any) -> _Fitted:
    if isinstance(inputs, InputBatches):
        return _on_batches(inputs)
    if inputs is not None:
        return _on_matrix(inputs)
    if is_frame(sample):
        names = column_names(sample, _names_of(estimator, sample))
        chosen = sample[list(names)]
        layout = format.layout(chosen)
        return _on_frame(chosen, names, layout) if layout else _on_matrix(fix_inputs(chosen), native=chosen)
    if isinstance(sample, np.ndarray) and sample.ndim == 2 and sample.dtype.kind in "biuf":
        return _on_matrix(inputs_of_array(sample))
    raise InvalidInput(
        f"The sample is a {type(sample).__module__}.{type(sample).__qualname__}.",
        why="A Polars or pandas DataFrame, or an array of numbers with rows and columns, is expected.",
    )


def _taught_rows(inputs: Inputs | InputBatches | None, sample: Any) -> Any:
    """The rows that taught an estimator, as they were given."""
    if inputs is None:
        return sample
    return inputs.frame if isinstance(inputs, Inputs) else inputs.rows


def _on_matrix(inputs: Inputs, native: Any = None) -> _Fitted:
    fields, matrix = inputs.signature.inputs, inputs.matrix
    where = positions(len(matrix), [np.flatnonzero(np.isnan(column)).tolist() for column in matrix.T])
    picked = matrix[where]
    if inputs.frame is None:
        rows = [[None if np.isnan(value) else float(value) for value in row] for row in picked]
    else:
        rows = plain_rows(take(inputs.frame, where), [field.name for field in fields])
    own = native is not None and type(native).__module__.partition(".")[0] == "pandas"
    return _Fitted(
        fields=fields,
        layout=(),
        positions=where,
        rows=rows,
        native=take(native, where) if own else picked,
        n_rows=len(matrix),
        profile=profile(profiled(fields, inputs.frame, matrix), pairs=POOL, at=decision_times(inputs.frame, inputs.at)),
    )


def _on_batches(inputs: InputBatches) -> _Fitted:
    found = inputs.learned_from()
    return _Fitted(
        fields=inputs.signature.inputs,
        layout=(),
        positions=found.positions,
        rows=plain_rows(found.rows, inputs.names),
        native=found.matrix,
        n_rows=inputs.rows.rows,
        profile=found.profile,
    )


def _on_frame(sample: Any, names: Sequence[str], layout: tuple[FrameColumn, ...]) -> _Fitted:
    missing = [[i for i, value in enumerate(sample[name].to_list()) if is_null(value)][:10] for name in names]
    where = positions(len(sample), missing)
    native = take(sample, where)
    fields = tuple(field_of(name, sample[name]) for name in names)
    return _Fitted(
        fields=fields,
        layout=layout,
        positions=where,
        rows=plain_rows(native, names),
        native=native,
        n_rows=len(sample),
        profile=profile(profiled(fields, sample), pairs=POOL),
    )


def _on_prepared(prepared: Prepared, sample: Any) -> _Fitted:
    names, is_array = prepared.spec.names, prepared.spec.kind == "numpy"
    if is_array:
        fields = inputs_of_array(sample).signature.inputs
        where = positions(len(sample), [np.flatnonzero(np.isnan(column)).tolist() for column in sample.T])
    else:
        fields = tuple(field_of(name, sample[name]) for name in names)
        missing = [[i for i, value in enumerate(sample[name].to_list()) if is_null(value)][:10] for name in names]
        where = positions(len(sample), missing)
    where = prepared.kept(sample, where)  # rows that training left out have no answer
    picked = sample[where] if is_array else take(sample, where)
    native = prepared.native(picked) if where else picked
    if not where or rows_in(native) != len(where):
        raise InvalidInput(
            f"prepare makes {rows_in(native)} rows of {len(where)} rows, each of which it keeps when it stands alone.",
            why="A request is answered row by row, so what becomes of a row must not depend on the rows beside it.",
            fix="Move what looks at other rows out of prepare, and keep what it found in known.",
        )
    plain = (
        [[None if np.isnan(v) else float(v) for v in row] for row in picked] if is_array else plain_rows(picked, names)
    )
    columns = {f.name: sample[:, i] for i, f in enumerate(fields)} if is_array else profiled(fields, sample)
    return _Fitted(
        fields=fields,
        layout=(),
        positions=where,
        rows=plain,
        native=native,
        n_rows=len(sample),
        profile=profile(columns, pairs=POOL),
    )


def _names_of(estimator: Any, sample: Any) -> list[str]:
    """The columns that the estimator says it was fitted on, else all of the sample's."""
    known = [str(name) for name in sample.columns]
    fitted = getattr(estimator, "feature_names_in_", None)
    if fitted is None and callable(getattr(estimator, "feature_name", None)):
        fitted = estimator.feature_name()
    names = [str(name) for name in fitted] if fitted is not None else known
    return names if set(names) & set(known) else known


def _nullable(fields: Sequence[Field], edges: Sequence[Case]) -> tuple[Field, ...]:
    """The fields, not nullable where the estimator itself refused a null."""
    refused = {case.column for case in edges if case.name.endswith(" is null") and case.answer is None}
    return tuple(msgspec.structs.replace(field, nullable=field.name not in refused) for field in fields)
