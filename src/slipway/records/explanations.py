"""What a model's answers rest on: of one answer, and of a model as a whole."""

from typing import Any

from msgspec import Struct

__all__ = ["Contribution", "Dependence", "Explained", "Explanation", "Importance", "Interaction"]


class Contribution(Struct, frozen=True, kw_only=True):
    """How far one input moved an answer away from the base.

    Args:
        input: The input's name.
        value: What it was, as the model took it.
        contribution: By how much, on the explanation's scale.
    """

    input: str
    value: Any
    contribution: float


class Explanation(Struct, frozen=True, kw_only=True):
    """How one answer comes about: base + contributions + rest + residual = score, all on one scale.

    It tells how the model behaves, and nothing of what causes what.

    Args:
        scale: "log-odds" or "probability" for a class; "value" or "log of the value" for a regression.
        how: "exact, by the trees", "exact, as a sum", or "sampled, 1,008 model calls".
        score: The answer on that scale.
        base: What the model answers on average, before anything is known of the row.
        contributions: The greatest first, whichever way they go.
        rest: Those of all other inputs together.
        residual: What is left: nothing but rounding where it is exact, what sampling missed elsewhere.
    """

    scale: str
    how: str
    score: float
    base: float
    contributions: tuple[Contribution, ...]
    rest: float
    residual: float


class Importance(Struct, frozen=True, kw_only=True):
    """How much a model's answers rest on one input, two ways; shares of 1 over all inputs.

    Args:
        input: The input's name.
        permuted: Its share of what the loss grows by when inputs are exchanged among rows, one at a time.
        low: The lower end of its 95 % interval, on the same scale; below 0 where exchanging it may even help.
        high: The upper end.
        contribution: Its share of the mean absolute contributions to single answers.
    """

    input: str
    permuted: float
    low: float
    high: float
    contribution: float


class Dependence(Struct, frozen=True, kw_only=True):
    """The mean answer with one input set to each of some values: its partial dependence.

    Args:
        input: The input's name.
        values: Numbers from low to high, or texts with the most frequent first; () where whoever asks may not see them.
        answers: The mean answer with each.
    """

    input: str
    values: tuple[Any, ...]
    answers: tuple[float, ...]


class Interaction(Struct, frozen=True, kw_only=True):
    """Two inputs whose effects do not add up: Friedman's H, the share of their common effect that is of both together."""

    first: str
    second: str
    strength: float


class Explained(Struct, frozen=True, kw_only=True):
    """What a model's answers rest on. It tells how the model behaves, and nothing of what causes what.

    Args:
        rows: How many rows were asked.
        asked: How often the model was asked for a row, besides what explained single answers.
        label: The column of the truth.
        how: How single answers were explained: "exact, by the trees".
        scale: Of their contributions.
        importances: The greatest first.
        dependences: Of the inputs that it rests on most.
        interactions: Between these, the strongest first.
        leaks: Sentences on inputs that tell the label, () for none.
    """

    rows: int
    asked: int
    label: str
    how: str
    scale: str
    importances: tuple[Importance, ...]
    dependences: tuple[Dependence, ...]
    interactions: tuple[Interaction, ...]
    leaks: tuple[str, ...] = ()
