"""What a step may use although nothing records it, where its declaration names it."""

from __future__ import annotations

from collections.abc import Sequence

from slipway.errors import InvalidDeclaration, near

__all__ = ["ALLOWED", "allowed", "undeclared"]

ALLOWED = {"clock": "the clock", "network": "the network", "subprocess": "another process"}
"""What `@step(allow=...)` takes, and what each is called."""


def allowed(step: str, names: Sequence[str]) -> tuple[str, ...]:
    """The names that a step's declaration gives.

    Raises:
        InvalidDeclaration: One of them is none of `ALLOWED`.
    """
    given = (names,) if isinstance(names, str) else tuple(names)
    wrong = [one for one in given if one not in ALLOWED]
    if wrong or isinstance(names, str):
        raise InvalidDeclaration(
            f"@step({step}) was given allow={names!r}.",
            why=f"It names, as a tuple, what the step may use although nothing can compare it: {', '.join(ALLOWED)}.",
            fix=near(wrong[0], ALLOWED, what="names") if wrong else f"Write allow=({names!r},).",
        )
    return given


def undeclared(what: str, told: str) -> str:
    """The sentence about a use that no declaration names.

    Args:
        what: One of `ALLOWED`.
        told: What the step does: "it connects to example.org:443".
    """
    return f"{told}, and {ALLOWED[what]} cannot be compared; if it does not matter, say @step(allow=({what!r},))"
