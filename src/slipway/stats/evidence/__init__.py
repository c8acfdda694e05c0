"""Evidence that may be looked at as often as one likes: sequences of bounds, and e-values.

An ordinary interval holds for one look that was planned; a roll-out looks at every tick and stops when it likes what it
sees. What is here holds at all looks together, but for `planned`, whose looks are planned. Arm a is the champion, arm b
the challenger. Natural logarithms throughout; alpha is that of one side. Nothing here knows what time it is.
"""

from slipway.stats.evidence.bernoulli import (
    difference_bound,
    log_e_not_worse_by,
    log_e_share_above,
    rows_factor,
    two_sample_bernoulli,
)
from slipway.stats.evidence.bounded import bounded_mean_sequence
from slipway.stats.evidence.differences import FEWEST_UNITS, DifferenceBounds, difference_sequence
from slipway.stats.evidence.means import FEWEST_BLOCKS, MeanBounds, mean_radius, mean_sequence
from slipway.stats.evidence.multiplicity import averaged, benjamini_hochberg_e, bonferroni
from slipway.stats.evidence.planned import crossing_chances, planned_boundaries, spent_alpha
from slipway.stats.evidence.quantiles import quantile_ranks, quantile_sequence
from slipway.stats.evidence.split import sample_ratio

__all__ = [
    "FEWEST_BLOCKS", "FEWEST_UNITS", "DifferenceBounds", "MeanBounds", "averaged", "benjamini_hochberg_e", "bonferroni",
    "bounded_mean_sequence", "crossing_chances", "difference_bound", "difference_sequence", "log_e_not_worse_by", "log_e_share_above",
    "mean_radius", "mean_sequence", "planned_boundaries", "quantile_ranks", "quantile_sequence", "rows_factor",
    "sample_ratio", "spent_alpha", "two_sample_bernoulli",
]  # fmt: skip
