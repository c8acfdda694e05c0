"""Up to where answers that differ differ by rounding only."""

__all__ = ["ROUNDING", "within"]

ROUNDING = 1e-6
"""What is further apart differs by more than rounding: of two scores as they are, of an import in shares of an answer above 1."""


def within(tolerance: float) -> str:
    """How near answers are that count as the same, and that it is no rounding where it is wide."""
    told = f"within {tolerance:g}"
    return told if tolerance <= ROUNDING else f"{told}, as asked, wider than rounding"
