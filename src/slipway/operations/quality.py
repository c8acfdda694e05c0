"""How good an endpoint's answers are, by the labels that came so far."""

from msgspec import Struct

from slipway.operations.declare import Operation
from slipway.records.cohorts import CohortRow

__all__ = ["AskQuality", "CohortTable", "QualityReport", "operations"]


class AskQuality(Struct, frozen=True, kw_only=True):
    """Of which endpoint, and how many of its last days are told.

    Args:
        name: The endpoint's.
        days: Days of decisions, the newest first.
    """

    name: str
    days: int = 14


class CohortTable(Struct, frozen=True, kw_only=True):
    """One metric by day of decision.

    Args:
        metric: Which.
        label_delay: How long labels take, as declared.
        absent: "negative" where no label by then means that, "" otherwise.
        cohorts: The newest day first.
    """

    metric: str
    label_delay: str
    absent: str
    cohorts: tuple[CohortRow, ...]


class QualityReport(Struct, frozen=True, kw_only=True):
    """An endpoint's cohorts and its labels.

    Args:
        endpoint: The endpoint.
        tables: One for each quality monitor; of an endpoint without any one for the usual metric of its task.
        labels: How many labels came for the days that were read.
        duplicates: Labels that said what another one of the same revision had said.
        corrected: Predictions, keys or times whose label was corrected by a later revision.
        contradictions: Labels that say something else than another one of the same revision.
        unknown: Predictions, keys or times that labels name and that nothing was answered for.
        sentence: In words.
    """

    endpoint: str
    tables: tuple[CohortTable, ...]
    labels: int = 0
    duplicates: int = 0
    corrected: int = 0
    contradictions: int = 0
    unknown: int = 0
    sentence: str = ""


operations = (
    Operation(
        name="endpoints.quality",
        summary="How good an endpoint's answers are, day by day, by the labels that came so far.",
        permission="endpoints.read",
        request=AskQuality,
        response=QualityReport,
        body="slipway.flows.cohorts:quality",
    ),
)
