"""What a model's answers rest on, in one sentence."""

from __future__ import annotations

from collections.abc import Sequence

from slipway.records.explanations import Explained, Importance
from slipway.records.models import Bundle

__all__ = ["BEHAVIOUR", "sentence"]

BEHAVIOUR = "This is how the model behaves, not what causes what."
_SHOWN = 0.5
"""The sentence names the inputs that together account for at least so much."""


def sentence(explained: Explained, bundle: Bundle) -> str:
    """In one sentence, which inputs account for most of it, and in which version of the data."""
    chosen: list[Importance] = []
    for one in explained.importances:
        if sum(each.permuted for each in chosen) >= _SHOWN:
            break
        chosen.append(one)
    whole = sum(one.permuted for one in chosen)
    if not whole:
        return f"{_where(bundle)}, no input by itself makes the model's answers better than chance would."
    names = listed([one.input for one in chosen])
    verb = "accounts" if len(chosen) == 1 else "account"
    return f"{_where(bundle)}, {names} {verb} for {whole:.0%} of what the model's answers rest on."


def _where(bundle: Bundle) -> str:
    tables = [node.partition(":")[2].rpartition("/")[2].partition("@") for node in bundle.data]
    named = listed([f"{name} version {version[:12]}" for name, _, version in tables])
    if bundle.training_set:
        return f"In training set {bundle.training_set[:12]}" + (f", made of {named}" if named else "")
    return f"In {named}" if named else "In data that no table version names"


def listed(names: Sequence[str]) -> str:
    return " and ".join([", ".join(names[:-1]), names[-1]]) if len(names) > 1 else "".join(names)
