"""A row that shows what an endpoint's requests carry: made up from the contract, never somebody's own values."""

from typing import Any

from slipway.records.endpoints import Contract
from slipway.records.schema import Field

__all__ = ["example_row", "example_value"]

_EXAMPLES: dict[str, Any] = {
    "bool": True,
    "int": 1,
    "float": 1.5,
    "string": "text",
    "category": "text",
    "datetime": "2026-01-31T12:00:00Z",
    "date": "2026-01-31",
    "duration": "PT90M",
    "object": "text",
}


def example_value(field: Field) -> Any:
    """A value of a field, as JSON writes it."""
    return field.categories[0] if field.categories else _EXAMPLES[field.type]


def example_row(contract: Contract) -> dict[str, Any]:
    """A row with every field of a contract."""
    return {field.name: example_value(field) for field in contract.fields}
