"""Certify: what proves that a model is served the features that it was trained on."""

from __future__ import annotations

from slipway.errors import InvalidInput, NotFound
from slipway.features.certificate import certificate_of, is_proof, proof_words
from slipway.flows.endpoint import Endpoint
from slipway.flows.replay import table_of
from slipway.flows.trained_on import training_of
from slipway.models import registry
from slipway.operations.features import Certified, Certify
from slipway.ports.workspace import Workspace

__all__ = ["certify", "certify_anew"]


def certify(workspace: Workspace, request: Certify) -> Certified:
    """The skew certificate that a model version was released with.

    Raises:
        NotFound: No such model or version, or it has no features.
    """
    version = registry.get(workspace, request.model, request.version)
    bundle = registry.bundle_of(workspace, version)
    spec, certificate = bundle.features, bundle.certificate
    if certificate is None:
        raise NotFound(
            f"{version.name} {version.number} has no skew certificate.",
            why="It takes its inputs as they are." if spec is None else "It was released before there was one.",
            fix="A certificate is made where a model is released with the features of its endpoint: slipway run PIPELINE",
        )
    return Certified(
        model=version.name,
        number=version.number,
        holds=spec is not None and is_proof(certificate, spec),
        sentence=certificate.sentence if spec is None else proof_words(certificate, spec),
        certificate=certificate,
    )


def certify_anew(workspace: Workspace, endpoint: Endpoint, request: Certify) -> Certified:
    """Prove the features of an endpoint again, as the project's code declares them now.

    Args:
        workspace: Whose tables say what a request carries.
        endpoint: The declaration.
        request: Which model version's label table says it.

    Raises:
        NotFound: No such model or version.
        InvalidInput: The endpoint has no features, or the version was not trained on a training set of features.
    """
    version = registry.get(workspace, request.model, request.version)
    training = training_of(workspace, version)
    if endpoint.features is None or training is None:
        raise InvalidInput(
            f"The features of {endpoint.name!r} cannot be proven.",
            why="The endpoint declares none."
            if endpoint.features is None
            else "Nobody made a training set of them yet.",
            fix="Give the endpoint its feature set and run its pipeline: slipway run PIPELINE",
        )
    spec = endpoint.features.spec(table_of(training))
    found = certificate_of(workspace, spec, endpoint.features.functions, anew=True)
    return Certified(
        model=version.name,
        number=version.number,
        holds=is_proof(found, spec),
        sentence=proof_words(found, spec),
        certificate=found,
    )
