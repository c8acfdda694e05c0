"""Models, the bundles that are released, and the registry's versions."""

import math
from datetime import datetime
from typing import TYPE_CHECKING, Any, Literal, TypeAlias

from msgspec import Struct, structs

from slipway.records.explanations import Explained
from slipway.records.features import FeatureSetSpec, SkewCertificate
from slipway.records.people import Actor
from slipway.records.record import Record
from slipway.records.runs import Artifact, CodeVersion, Environment
from slipway.records.schema import Signature
from slipway.records.tolerances import ROUNDING, within

if TYPE_CHECKING:
    _Number: TypeAlias = float
else:
    # JSON has no NaN and no infinities: msgspec writes null for these.
    _Number = float | None

__all__ = [
    "DOCUMENTS",
    "Alias",
    "ApartRow",
    "Bundle",
    "BundleFile",
    "Decision",
    "ImportProof",
    "LoggedMetric",
    "LoggedModel",
    "MetricValue",
    "ModelVersion",
    "Overlap",
    "RegisteredModel",
]

DOCUMENTS: dict[str, str] = {
    "purpose": "business owner",
    "harm": "governance",
    "limits": "data scientist",
    "owner": "business owner",
    "evaluation": "data scientist",
    "data": "data scientist",
    "code": "data scientist",
    "environment": "ml engineer",
    "decision": "business owner",
}
"""What a reader must know of a model, and the role that can write it down or see to it. People write the first four."""


class MetricValue(Struct, frozen=True, kw_only=True):
    """A metric with its interval, overall or on a slice.

    Args:
        metric: "auc", "log_loss".
        value: NaN where it cannot be told.
        low: Lower bound, NaN where unknown.
        high: Upper bound, NaN where unknown.
        n: Rows.
        slice: "" overall, else `column=value`.
        note: Why it cannot be told, or what else a reader must know.
    """

    metric: str
    value: float
    low: float = float("nan")
    high: float = float("nan")
    n: int = 0
    slice: str = ""
    note: str = ""


class Decision(Struct, frozen=True, kw_only=True):
    """What is done with a score: part of the bundle.

    Args:
        threshold: A score at or above it decides "yes", None where the score itself is the answer.
        costs: The stated cost matrix: true_positive, false_positive, true_negative, false_negative.
        unit: Of the costs, or of the price: "USD".
        low: Where the score is a price: no answer lies below, None where it is none.
        high: No answer lies above.
        step: Prices are so many steps above `low`; 0 for any.
        offer: The request's fields that the price may depend on, and nothing else.
    """

    threshold: float | None = None
    costs: dict[str, float] = {}
    unit: str = ""
    low: float | None = None
    high: float | None = None
    step: float = 0.0
    offer: tuple[str, ...] = ()

    @property
    def is_price(self) -> bool:
        """Whether the score is a price, which is answered within limits."""
        return self.low is not None


class Overlap(Struct, frozen=True, kw_only=True):
    """Whether rows that a model was evaluated on had taught it.

    Args:
        rows: How many evaluated rows were looked up among those of training.
        taught: How many of them were found there.
        columns: By which columns: of one and the same row all are equal.
        distinct: Whether the rows of training all differ in these: otherwise equal rows need not be the same.
    """

    rows: int
    taught: int
    columns: tuple[str, ...]
    distinct: bool


class BundleFile(Struct, frozen=True, kw_only=True):
    """One file of a bundle: its path inside, the digest of its bytes, its size."""

    path: str
    digest: str
    size_bytes: int


class Bundle(Struct, frozen=True, kw_only=True):
    """The manifest of the immutable unit that is released. Its bytes' digest is the bundle's.

    Files: `model/...` (in the format named), `code/...` (reduced modules), `layout.json` (how the estimator is asked),
    `compiled.bin` (the estimator as plain data, where that was proven to answer alike),
    `sample.json` (reference rows with the answers given at packaging; it alone may have been erased), `profile.bin`
    (reference profile), `card.md`.

    Args:
        model: The model's name.
        format: "lightgbm", "xgboost", "torch", "onnx", "skops", "pickle".
        task: What kind of answer: "classification" or "regression".
        files: Everything in it.
        signature: What the model takes and gives.
        features: The feature set, None for a model that takes its inputs as they are.
        modules: The reduced modules under `code/`, in import order.
        decision: What is done with a score.
        environment: The lock.
        code: Which code trained it.
        data: Lineage nodes of the table versions it was trained on.
        training_set: The fingerprint of the training rows, "" where unknown.
        metrics: Of its evaluation.
        label: The column of the truth in its evaluation, "" where it was never evaluated.
        evaluated: The blob digest of the rows that it was evaluated on, a Parquet file: a later challenger is compared
            with it on its own. They stay with the registry and go to no endpoint. "" where it was never evaluated.
        parity: The sentence that says how the packaged model was proven equal to the trained one.
        compiled: The sentence that says how the compiled estimator was proven to answer as the estimator does, or why
            there is none and the estimator itself answers every row. "" where nobody tried.
        certificate: What came out of comparing the features' paths, None where there are no features.
        run_id: The run that made it.
        trained_until: The greatest decision time it was trained on, None where unknown.
        held_out_from: From this decision time on no row of its training set taught it: the rows of its evaluation begin
            there, and those of the log are fair to judge it by. None where that is unknown.
        overlap: Whether rows that it was evaluated on had taught it, None where that is unknown.
        explained: What its answers rest on, None where nobody asked.
        simulated: The simulated tables that it learned from, () where all were real.
    """

    model: str
    format: str
    task: Literal["classification", "regression"]
    files: tuple[BundleFile, ...]
    signature: Signature
    features: FeatureSetSpec | None = None
    modules: tuple[str, ...] = ()
    decision: Decision = Decision()
    environment: Environment | None = None
    code: CodeVersion = CodeVersion()
    data: tuple[str, ...] = ()
    training_set: str = ""
    metrics: tuple[MetricValue, ...] = ()
    label: str = ""
    evaluated: str = ""
    parity: str = ""
    compiled: str = ""
    certificate: SkewCertificate | None = None
    run_id: str = ""
    trained_until: datetime | None = None
    held_out_from: datetime | None = None
    overlap: Overlap | None = None
    explained: Explained | None = None
    simulated: tuple[str, ...] = ()

    @property
    def skew(self) -> str:
        """The skew certificate in words, "" where there is none."""
        return self.certificate.sentence if self.certificate else ""


class ApartRow(Struct, frozen=True, kw_only=True):
    """A row that an original and its bundle answer differently.

    Args:
        row: Which one: "row 17" of the sample, counted from 1, or "recombined row 3".
        before: The original's answer, None where that is NaN.
        after: The bundle's, None where it refuses the row or answers NaN.
        why: Why the bundle refuses it, "" where it answers.
    """

    row: str
    before: float | None
    after: float | None
    why: str = ""


class ImportProof(Struct, frozen=True, kw_only=True):
    """What came of asking a model from elsewhere and the bundle that it became for the same rows.

    Args:
        door: How it came: "pickle", "onnx", "mlflow", "script"; "fastapi" for a service that answered before.
        source: Where from: a file's name, the address of a store with the version there, or of a service.
        digest: Of the original's bytes, "" where it came as an object.
        asked: Where the original was asked: its Python and libraries.
        sample: The digest of the rows that were given.
        rows: Rows that both were asked for.
        recombined: How many of them were drawn column by column, where fewer rows were given than are compared.
        equal: How many got the same bits.
        rounded: How many differ by no more than the tolerance.
        greatest: The greatest difference of any row that both answer.
        apart: How many differ by more, or are refused by the bundle.
        first: The first of these.
        answers: The blob digest of all answers: JSON, a row's name, what was answered before and after.
        accepted: Why a person took the differing rows, or a tolerance that is wider than rounding; "" where there is neither.
        tolerance: How far apart, in shares of the greater of 1 and the answer before, counted as the same; 0 where an
            older release did not keep it.
    """

    door: str
    source: str
    digest: str = ""
    asked: str = ""
    sample: str = ""
    rows: int
    recombined: int = 0
    equal: int
    rounded: int = 0
    greatest: float = 0.0
    apart: int = 0
    first: tuple[ApartRow, ...] = ()
    answers: str = ""
    accepted: str = ""
    tolerance: float = 0.0

    @property
    def sentence(self) -> str:
        """The proof in words."""
        made = f" ({self.recombined:,} of them recombined from its columns)" if self.recombined else ""
        told = f"{self.rows:,} rows of the sample{made} asked of the original and of the bundle: "
        if not self.apart and not self.rounded:
            return f"{told}all answers equal, bit for bit."
        told += f"{self.equal:,} equal bit for bit"
        if self.rounded:
            how = "but for rounding" if self.tolerance <= ROUNDING else within(self.tolerance)
            told += f", {self.rounded:,} {how} (at most {self.greatest:.1e})"
        return f"{told}, {self.apart:,} DIFFER." if self.apart else f"{told}."


class ModelVersion(Record, frozen=True, kw_only=True, tag="model"):
    """One version in the registry. Id: `m-` and 32 hex digits; name: the model's.

    A version carries a signed bundle, or only a source: files that a tracking client stored with a run or a logged
    model. What has no bundle was never packaged, proven or signed, and cannot be deployed.

    Args:
        number: Counts the model's versions from 1.
        bundle: The bundle's digest, "" for a version that has only a source.
        manifest: The blob digest of the bundle's manifest.
        signature: The blob digest of the DSSE envelope (Ed25519) over the manifest.
        run_id: The run that made it.
        actor: Who registered it.
        description: Free text.
        tags: Free text by name.
        source: Where its files are, in the words of whoever registered it: "runs:/<run id>/model".
        location: The same as a path among the stored artifacts: "<experiment>/<run id>/artifacts/model".
        logged_model_id: The logged model that it is, "" where it is none.
        stage: "None", "Staging", "Production" or "Archived": MLflow's older word for an alias.
        run_link: A link to the run elsewhere.
        state: A deleted version keeps its number.
        updated_at: When it was last changed, None for never.
        aliases: Those that point at it, sorted: they are references of the ledger, and said here to be found by.
        metrics: What was measured of it, to be found by: `auc`, `auc[carrier=AA]`. Of a bundle those of its evaluation, of
            files those of their logged model or run. Finite values only.
        params: Of the run that made it and of the logged model that it is, to be found by.
        deleted_at: When it was put into the trash, None while it counts.
        made_by: Who made it, where it came from another store and its run is not here.
        training: The blob digest of what its run says of its training set, where it came from another store.
        imported: What came of comparing it with the model from elsewhere that it was, and with services that answered
            before it; () for one made here.
    """

    number: int
    bundle: str = ""
    manifest: str = ""
    signature: str = ""
    run_id: str = ""
    actor: Actor
    description: str = ""
    tags: dict[str, Any] = {}
    source: str = ""
    location: str = ""
    logged_model_id: str = ""
    stage: str = "None"
    run_link: str = ""
    state: Literal["", "deleted"] = ""
    updated_at: datetime | None = None
    aliases: tuple[str, ...] = ()
    metrics: dict[str, float] = {}
    params: dict[str, Any] = {}
    deleted_at: datetime | None = None
    made_by: tuple[str, ...] = ()
    training: str = ""
    imported: tuple[ImportProof, ...] = ()

    @property
    def shown_source(self) -> str:
        """Where its files are, in one text for both kinds of versions."""
        return f"slipway-bundle:{self.bundle}" if self.bundle else self.source


class RegisteredModel(Record, frozen=True, kw_only=True, tag="registered_model"):
    """What is said of a model as a whole. Id: "PROJECT/NAME".

    Args:
        actor: Who made it.
        description: Free text.
        tags: Free text by name.
        state: A deleted one is in the trash, or nothing but the history of its name.
        updated_at: When it was last changed.
        deleted_at: When it was put into the trash, with its versions; None while it counts, or after a renaming.
    """

    actor: Actor
    description: str = ""
    tags: dict[str, str] = {}
    state: Literal["", "deleted"] = ""
    updated_at: datetime
    deleted_at: datetime | None = None


class LoggedMetric(Struct, frozen=True, kw_only=True):
    """The latest point of a metric that was measured of a logged model, by one run on one dataset.

    Args:
        key: The metric's name.
        value: May be NaN or infinite.
        step: Where in the training.
        at_us: When, in microseconds since the epoch.
        run_id: The run that measured it.
        dataset_name: The dataset, "" for none.
        dataset_digest: Which state of it.
        word: Made here: "nan", "inf" or "-inf" where that is the value, so that it is read back.
    """

    key: str
    value: _Number
    step: int = 0
    at_us: int = 0
    run_id: str = ""
    dataset_name: str = ""
    dataset_digest: str = ""
    word: str = ""

    def __post_init__(self) -> None:
        if self.value is None:
            structs.force_setattr(self, "value", float(self.word or "nan"))
        structs.force_setattr(self, "word", "" if math.isfinite(self.value) else str(self.value))


class LoggedModel(Record, frozen=True, kw_only=True, tag="logged_model"):
    """A model that a tracking client stored, before or without being registered. Id: `m-` and 32 hex digits.

    Args:
        experiment_id: The experiment it belongs to.
        run_id: The run that made it, "" for none.
        model_type: Free text.
        state: "pending" until its files are stored.
        message: Why it failed.
        actor: Who logged it.
        params: Write-once parameters.
        tags: Free text by name.
        artifacts: Its files, by path.
        metrics: The latest points that were measured of it.
        updated_at: When it was last changed.
        deleted_at: When it was put aside, None while it counts.
    """

    experiment_id: str
    run_id: str = ""
    model_type: str = ""
    state: Literal["pending", "ready", "failed"] = "pending"
    message: str = ""
    actor: Actor
    params: dict[str, str] = {}
    tags: dict[str, str] = {}
    artifacts: tuple[Artifact, ...] = ()
    metrics: tuple[LoggedMetric, ...] = ()
    updated_at: datetime
    deleted_at: datetime | None = None


class Alias(Struct, frozen=True, kw_only=True):
    """A name that points at a version: `champion` of `flight-delays` in `prod`."""

    model: str
    alias: str
    number: int
