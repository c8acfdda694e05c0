"""What a request to a bundle's endpoint carries."""

from __future__ import annotations

from slipway.records.models import Bundle
from slipway.records.schema import Field

__all__ = ["request_fields"]


def request_fields(bundle: Bundle) -> tuple[Field, ...]:
    """The request's fields as the model needs them: those of its features, or its inputs as they are."""
    if bundle.features is not None:
        return tuple(bundle.features.request)
    # A request may carry a category that the model has never seen, so it asks for text.
    return tuple(
        Field(field.name, "string", field.nullable) if field.type == "category" else field
        for field in bundle.signature.inputs
    )
