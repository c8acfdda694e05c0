"""The KPI of a metric contract: what each prediction yields, and the figure with its interval. One reckoning for every place.

Evaluation, gate, monitor, roll-out and A/B test all call `kpi_values`; none of them has a formula of its own. A KPI that is
one sum over another has two numbers a prediction; wherever one number is needed, it is linear in both (`kpi_terms`).

Sources: W. Cochran, Sampling Techniques, 1977, section 6 on ratio estimates; R. Budylin et al., Consistent transformation of
ratio metrics for efficient online controlled experiments, WSDM 2018, for the linear form beside a fixed ratio.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import ArrayLike, NDArray

from slipway.errors import InvalidInput, near
from slipway.records.contracts import ContractTerms
from slipway.records.models import Decision
from slipway.schema.formula_frames import reckon
from slipway.stats.blocks import mean_by_blocks
from slipway.stats.estimate import Estimate, cannot_tell
from slipway.stats.intervals import mean_interval
from slipway.stats.ratios import linear_terms

__all__ = [
    "Reference", "best_threshold", "decided", "kpi_figure", "kpi_losses", "kpi_terms", "kpi_values", "linear_beside",
    "of_another_price", "reference_of", "untold", "with_business",
]  # fmt: skip

_MOST_UNSURE = 0.75
"""Where the interval of the mean below the line reaches further from it, the linear form is none."""


@dataclass(frozen=True, slots=True)
class Reference:
    """What a ratio's rows are set beside: a fixed ratio, and a fixed mean of what is below the line.

    Args:
        ratio: The ratio.
        per: The mean.
    """

    ratio: float
    per: float


def with_business(frame: pl.DataFrame, terms: ContractTerms, business: pl.LazyFrame) -> pl.DataFrame:
    """Predictions with the business columns of the contract's table; null where the table has no such row yet.

    Args:
        frame: Predictions with the fields that find the row.
        terms: The contract's.
        business: The table's rows. What it has of the formula's columns is taken from it, whatever else has that name.

    Raises:
        InvalidInput: A column that finds the row is missing, or a key has several rows.
    """
    there = business.collect_schema()
    fields = [_as_logged(field, frame) for _, field in terms.key]
    for (column, _), field in zip(terms.key, fields, strict=True):
        if column not in there:
            raise InvalidInput(
                f"The table {terms.table!r} has no column {column!r}.",
                fix=near(column, there, what="columns"),
                field=column,
            )
        if field not in frame.columns:
            raise InvalidInput(
                f"The predictions have no field {field!r} to find a row of {terms.table!r} by.",
                fix=near(field, frame.columns, what="fields"),
                field=field,
            )
    keys = [column for column, _ in terms.key]
    taken = [name for name in terms.columns if name in there and name not in keys and name not in _OWN]
    if not taken:
        return frame
    places = [f"__key_{place}" for place in range(len(keys))]
    asked = frame.with_columns(
        pl.col(field).cast(pl.String).alias(place) for field, place in zip(fields, places, strict=True)
    )
    rows = business.select(
        *(pl.col(column).cast(pl.String).alias(place) for column, place in zip(keys, places, strict=True)), *taken
    )
    rows = rows.join(asked.lazy().select(places).unique(), on=places, how="semi")
    found = rows.collect()
    if found.select(places).is_duplicated().any():
        raise InvalidInput(
            f"The table {terms.table!r} has several rows of one {' and '.join(keys)}.",
            why="Nobody could say which of them counts.",
            fix="Name the columns that find one row: sw.MetricContract(..., key=[...]).",
        )
    rest = asked.drop([name for name in taken if name in asked.columns])
    return rest.join(found, on=places, how="left", maintain_order="left").drop(places)


_OWN = ("score", "decision", "label")


def decided(frame: pl.DataFrame, scores: ArrayLike, labels: ArrayLike | None, threshold: float | None) -> pl.DataFrame:
    """Rows that no log has, with the prediction's own columns as a log would have them.

    Args:
        frame: The rows.
        scores: A score each.
        labels: The truth of each, None where it is not known.
        threshold: From which score on the decision is "yes"; None decides nothing.
    """
    values = np.asarray(scores, dtype=np.float64)
    decision = [None] * values.size if threshold is None else values >= threshold
    truth = [None] * values.size if labels is None else np.asarray(labels, dtype=np.float64)
    return frame.with_columns(
        pl.Series("score", values, pl.Float64),
        pl.Series("decision", decision, pl.Boolean),
        pl.Series("label", truth, pl.Float64),
    )


def kpi_values(frame: pl.DataFrame, terms: ContractTerms) -> pl.Series:
    """What each prediction yields: null where it is not known yet, NaN where the formula gives no finite number.

    Of a ratio these are structs of `value` and `per`, null where one of them is.

    Args:
        frame: With `score`, `decision`, `label`, the request's fields as the log calls them, and the business columns.
        terms: The contract's.

    Raises:
        InvalidInput: A column is missing, or of a kind that the formula cannot use.
    """
    renamed = {_as_logged(name, frame): name for name in terms.columns if name not in _OWN}
    known = [name for name in _OWN if name in frame.columns]
    there = [one for one in renamed if one in frame.columns]
    missing = [renamed[one] for one in renamed if one not in frame.columns]
    if missing:
        raise InvalidInput(
            f"There is no column {missing[0]!r}, which {terms.kpi!r} is reckoned from.",
            why="Neither the request nor the contract's table has it.",
            fix=near(missing[0], [name for name in frame.columns if not name.startswith("__")], what="columns"),
            field=missing[0],
        )
    chosen = frame.select(*known, *(pl.col(one).alias(renamed[one]) for one in there))
    values = reckon(chosen, terms.formula)
    if not terms.per:
        return values
    both = pl.DataFrame({"value": values, "per": reckon(chosen, terms.per)})
    is_known = pl.col("value").is_not_null() & pl.col("per").is_not_null()
    return both.select(pl.when(is_known).then(pl.struct("value", "per")).alias("value"))["value"]


def untold(values: pl.Series, terms: ContractTerms, *, least_rows: int | None = None) -> str:
    """Why the KPI cannot be told from these values, "" where it can.

    Args:
        values: From `kpi_values`.
        terms: The contract's.
        least_rows: Fewer known values do not tell; the contract's own number where it is None.
    """
    known = values.drop_nulls()
    for part, formula in _parts(known, terms):
        broken = part.len() - int(part.is_finite().sum())
        if broken:
            return (
                f"{broken:,} of {part.len():,} predictions give no finite {terms.kpi!r}: {formula} divides by zero "
                "there, or has a value that is no number"
            )
    why = _outside(known, terms)
    if why:
        return why
    least = terms.min_rows if least_rows is None else least_rows
    if known.len() < least:
        return f"{known.len():,} predictions with a known value are too few; {least:,} are needed"
    if least_rows is None and terms.per and not float(known.struct.field("per").sum()):
        return f"{terms.per} of all {known.len():,} predictions comes to 0, by which nothing can be divided"
    return ""


def _parts(known: pl.Series, terms: ContractTerms) -> list[tuple[pl.Series, str]]:
    """The numbers of the predictions, each with its formula."""
    if not terms.per:
        return [(known, terms.formula)]
    return [(known.struct.field("value"), terms.formula), (known.struct.field("per"), terms.per)]


def _outside(known: pl.Series, terms: ContractTerms) -> str:
    """Which bounds do not hold, "" where all do."""
    limits = [(terms.least, terms.most), (terms.per_least if terms.per_least is not None else 0.0, terms.per_most)]
    for place, (part, formula) in enumerate(_parts(known, terms)):
        least, most = limits[place]
        if least is None:
            continue
        outside = int(((part < least) | (part > (math.inf if most is None else most))).sum())
        if outside:
            what = "yield" if not place else f"have {formula}"
            side = f"less than {least:g}" + ("" if most is None else f" or more than {most:g}")
            none = "which the contract says that none does" if most is not None else "which cannot be counted"
            return f"{outside:,} of {part.len():,} predictions {what} {side}, {none}"
    return ""


def kpi_terms(values: pl.Series, terms: ContractTerms) -> NDArray[np.float64]:
    """Numbers a row of which the KPI is the mean, and whose spread is its spread: of a ratio by the delta method.

    Args:
        values: From `kpi_values`, none of them null, which `untold` says nothing against.
        terms: The contract's.
    """
    over, *under = (part.to_numpy() for part, _ in _parts(values, terms))
    return linear_terms(over, under[0])[1] if under else np.asarray(over)


def of_another_price(terms: ContractTerms, decision: Decision) -> str:
    """Why held-out rows cannot tell the KPI of a model that answers with a price, "" where they can.

    Args:
        terms: The contract's.
        decision: The model's.
    """
    if not decision.is_price or "score" not in terms.columns:
        return ""
    return f"{terms.kpi} counts the model's own price, and the truth of held-out rows was seen at another one"


def kpi_figure(values: pl.Series, terms: ContractTerms, blocks: ArrayLike | None = None) -> Estimate:
    """The KPI with its interval, or why it cannot be told; never a figure of some of the rows alone.

    Args:
        values: From `kpi_values`; what is null is not known yet and left out.
        terms: The contract's.
        blocks: The block of each row, such as its day, where rows are not independent.
    """
    why = untold(values, terms)
    known = values.is_not_null()
    if why:
        return cannot_tell(int(known.sum()), why)
    codes = None if blocks is None else np.asarray(blocks)[known.to_numpy()]
    if terms.per:
        below = _mean(_parts(values.filter(known), terms)[1][0].to_numpy(), codes)
        if below.high - below.value > _MOST_UNSURE * below.value:
            return cannot_tell(
                below.n,
                f"{terms.per} is {below.value:.4g} a prediction, by these rows anything from {below.low:.4g} to "
                f"{below.high:.4g}: too unsure to divide by",
            )
    return _mean(kpi_terms(values.filter(known), terms), codes)


def _mean(numbers: NDArray[np.float64], codes: NDArray[Any] | None) -> Estimate:
    return mean_interval(numbers) if codes is None else mean_by_blocks(numbers, codes)


def reference_of(values: pl.Series, terms: ContractTerms) -> Reference:
    """What rows of the same contract are set beside: the ratio of these, and their mean below the line.

    Args:
        values: From `kpi_values`, none of them null, whose sum below the line is not 0.
        terms: The contract's, of a ratio.
    """
    (over, _), (under, _) = _parts(values, terms)
    return Reference(ratio=float(over.sum()) / float(under.sum()), per=float(under.mean()))  # type: ignore[arg-type]


def linear_beside(values: pl.Series, reference: Reference) -> pl.Series:
    """Of a ratio one number a row, whose mean over rows like the reference's is their ratio; null where a value is.

    Args:
        values: From `kpi_values`.
        reference: Fixed, or of the rows that all are compared with.
    """
    over, under = values.struct.field("value"), values.struct.field("per")
    return reference.ratio + (over - reference.ratio * under) / reference.per


def kpi_losses(
    values: pl.Series, terms: ContractTerms, reference: Reference | None = None
) -> tuple[pl.Series, float | None]:
    """What each prediction loses of the best that it could yield, from 0 to 1; see `ContractTerms.least` and `most`.

    Of a ratio it is what `value - ratio * per` loses, for a ratio that was fixed before these rows came: where arms count
    for the same below the line, one loses more than another exactly where its ratio is worse.

    Args:
        values: From `kpi_values`.
        terms: The contract's.
        reference: Of a ratio what its rows are set beside.

    Returns:
        The losses; and how much greater their mean may be by the guard band, None where the declaration says it.

    Raises:
        InvalidInput: The contract does not say between what a prediction's value lies.
    """
    least, most = terms.least, terms.most
    if least is None or most is None or not terms.is_bounded:
        raise InvalidInput(
            f"The contract on {terms.kpi!r} does not say what one prediction yields at least and at most.",
            fix="Say it: sw.MetricContract(..., between=(0, 500)), and per_between=(...) of what it is divided by.",
        )
    margin = None
    if terms.per:
        assert reference is not None  # a ratio's rows are set beside one
        assert terms.per_least is not None  # it is bounded
        edges = [reference.ratio * (terms.per_least), reference.ratio * (terms.per_most or 0.0)]
        values = values.struct.field("value") - reference.ratio * values.struct.field("per")
        least, most = least - max(edges), most - min(edges)
        margin = terms.guard * reference.per / (most - least)
    width = most - least
    return (most - values) / width if terms.better == "higher" else (values - least) / width, margin


def best_threshold(frame: pl.DataFrame, terms: ContractTerms) -> tuple[float, float, int]:
    """The threshold that makes the best of the KPI on some rows, of all that there are.

    Each row is reckoned once as decided "yes" and once as "no"; by falling score, the best cut is where the sum is best.

    Args:
        frame: With `score`, `label` and what else the formula needs.
        terms: The contract's.

    Returns:
        The threshold, the KPI there, and the rows that were reckoned.

    Raises:
        InvalidInput: The formula does not ask for the decision, or the KPI cannot be told.
    """
    if "decision" not in terms.columns:
        raise InvalidInput(
            f"{terms.kpi!r} does not depend on the decision.",
            why=f"Its formula is {terms.formula}.",
            fix="Let the formula use `decision`, or give the threshold itself: sw.threshold(0.3).",
        )
    yes, no = (kpi_values(frame.with_columns(decision=pl.lit(value=way)), terms) for way in (True, False))
    why = untold(yes, terms, least_rows=terms.min_rows) or untold(no, terms, least_rows=terms.min_rows)
    if why:
        raise InvalidInput(f"No threshold can be chosen by {terms.kpi!r}: {why}.", fix="Choose it on more rows.")
    known = yes.is_not_null() & no.is_not_null()
    if not known.any():
        raise InvalidInput(
            f"No threshold can be chosen by {terms.kpi!r}: no row has a value.", fix="Give rows with one."
        )
    scores = frame["score"].to_numpy()[known.to_numpy()]
    order = np.argsort(-scores, kind="stable")
    ranked = scores[order]
    ends = np.flatnonzero(np.append(ranked[1:] != ranked[:-1], True))  # equal scores are decided alike
    # By falling score: the sums where none is decided "yes", then where all down to each end are.
    sums = []
    for (one, _), (other, _) in zip(_parts(yes.filter(known), terms), _parts(no.filter(known), terms), strict=True):
        gains = np.cumsum((one.to_numpy() - other.to_numpy())[order])
        sums.append(float(other.sum()) + np.concatenate([[0.0], gains[ends]]))
    over, under = sums[0], sums[1] if terms.per else np.full(sums[0].size, float(scores.size))
    figures = np.divide(over, under, out=np.full(over.size, np.nan), where=under > 0)
    if np.isnan(figures).all():
        raise InvalidInput(
            f"No threshold can be chosen by {terms.kpi!r}: {terms.per} comes to 0 at each.",
            fix="Choose it on more rows.",
        )
    best = int(np.nanargmax(terms.sign * figures))
    threshold = math.nextafter(float(ranked[0]), math.inf) if best == 0 else float(ranked[ends[best - 1]])
    return threshold, float(figures[best]), int(scores.size)


def _as_logged(name: str, frame: pl.DataFrame) -> str:
    """A request's field has another name in the log where the log has a column of that name itself."""
    return next((one for one in (f"request.{name}", f"feature.{name}") if one in frame.columns), name)
