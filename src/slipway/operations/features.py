"""Features: how they are defined, and which definitions they have had."""

from msgspec import Struct

from slipway.operations.declare import Empty, Operation
from slipway.records.features import FeatureDefinition, SkewCertificate

__all__ = ["Certified", "Certify", "FeatureDetail", "Features", "GetFeature", "operations"]


class Features(Struct, frozen=True, kw_only=True):
    """The definition in use of each feature."""

    features: tuple[FeatureDefinition, ...]


class GetFeature(Struct, frozen=True, kw_only=True):
    """Which feature: a scalar's or view's name, or `<key set>_<aggregate>` of windows."""

    name: str


class FeatureDetail(Struct, frozen=True, kw_only=True):
    """A feature's definitions, newest first, and the number of the one in use."""

    in_use: int
    versions: tuple[FeatureDefinition, ...]


class Certify(Struct, frozen=True, kw_only=True):
    """Which model and version: a number, an alias, or "latest"."""

    model: str
    version: str = "latest"


class Certified(Struct, frozen=True, kw_only=True):
    """A model's skew certificate.

    Args:
        model: The model.
        number: Its version.
        holds: Whether it proves that served features are those of training: the same definition, every path, no difference.
        sentence: The same in words.
        certificate: The certificate.
    """

    model: str
    number: int
    holds: bool
    sentence: str
    certificate: SkewCertificate


operations = (
    Operation(
        name="features.list",
        summary="List the features that training sets have used, with the definitions in use.",
        permission="features.read",
        request=Empty,
        response=Features,
        body="slipway.features.definitions:list_features",
    ),
    Operation(
        name="features.get",
        summary="Show one feature and the definitions that it has had.",
        permission="features.read",
        request=GetFeature,
        response=FeatureDetail,
        body="slipway.features.definitions:get_feature",
    ),
    Operation(
        name="features.certify",
        summary="Show what proves that a model is served the features that it was trained on.",
        permission="features.read",
        request=Certify,
        response=Certified,
        body="slipway.flows.certify:certify",
    ),
)
