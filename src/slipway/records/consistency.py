"""What came of computing served features again offline: a report for an endpoint."""

from datetime import datetime

from msgspec import Struct

from slipway.records.record import Record

__all__ = ["ConsistencyReport", "FeatureConsistency"]


class FeatureConsistency(Struct, frozen=True, kw_only=True):
    """One feature, served beside offline.

    A value that differs only because rows came late, or because a table has not yet what was pushed, is no defect.

    Args:
        feature: Its name.
        compared: Values compared.
        mismatches: Defects: both have a value, and they are not equal bit for bit.
        missing: Defects: null was served, and offline has a value.
        extra: Defects: a value was served, and offline has none.
        late: Values that differ because rows were pushed after the request, or never.
        ahead: Values that differ because the table lacks rows that were pushed.
        smape: Symmetric mean absolute percentage error of the defects with two numbers, from 0 to 2; None without any.
        greatest: The greatest absolute difference of these.
        first: The first defect in words, "" for none.
    """

    feature: str
    compared: int
    mismatches: int = 0
    missing: int = 0
    extra: int = 0
    late: int = 0
    ahead: int = 0
    smape: float | None = None
    greatest: float | None = None
    first: str = ""

    @property
    def defects(self) -> int:
        """Values that differ and should not."""
        return self.mismatches + self.missing + self.extra

    @property
    def share(self) -> float:
        """Defects among the values compared."""
        return self.defects / self.compared if self.compared else 0.0


class ConsistencyReport(Record, frozen=True, kw_only=True, tag="consistency"):
    """Served features of sampled requests beside the same computed offline as of their time; name: the endpoint's.

    Args:
        parent_id: `<project>/<endpoint>`.
        model: The model that answered, with its number.
        bundle: Its bundle's digest.
        window_from: Business time, first decision looked at.
        window_until: Last decision looked at.
        rows: Requests in the window.
        sampled: Requests that were computed again: all of a sampled key.
        sample: The share of keys that was sampled.
        features: One a feature, in order.
        late_rows: How many rows of tables and views had come late to a request that they change.
        late_median_us: How late they came after they were known, in the middle; at least so, for what never came.
        late_greatest_us: And at most.
        examined: How many of the requests that differ were looked at for late rows; counts are scaled up from these.
        notes: What was found and does not count, as sentences.
    """

    parent_id: str
    model: str
    bundle: str
    window_from: datetime | None = None
    window_until: datetime | None = None
    rows: int = 0
    sampled: int = 0
    sample: float = 1.0
    features: tuple[FeatureConsistency, ...] = ()
    late_rows: int = 0
    late_median_us: int = 0
    late_greatest_us: int = 0
    examined: int = 0
    notes: tuple[str, ...] = ()

    @property
    def worst(self) -> FeatureConsistency | None:
        """The feature with the greatest share of defects, None where nothing was compared."""
        return max(self.features, key=lambda one: one.share, default=None)

    @property
    def share(self) -> float:
        """The greatest share of defects that a feature has."""
        return self.worst.share if self.worst else 0.0

    @property
    def compared(self) -> int:
        """Values compared in all."""
        return sum(one.compared for one in self.features)

    @property
    def defects(self) -> int:
        """Values that differ and should not."""
        return sum(one.defects for one in self.features)

    @property
    def late(self) -> int:
        """Values that differ because of late rows."""
        return sum(one.late for one in self.features)

    @property
    def ahead(self) -> int:
        """Values that differ because tables lack what was pushed."""
        return sum(one.ahead for one in self.features)
