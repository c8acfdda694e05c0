"""Package: a trained model becomes a bundle in the registry, with the code, data and run that made it."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import msgspec

from slipway import code
from slipway.flows.held_out import held_out_from
from slipway.flows.routes import prove_routes
from slipway.hashing import combine, fingerprint
from slipway.ledger import entries, locks, provenance
from slipway.models import registry
from slipway.models.model import Model
from slipway.models.packing import pack
from slipway.models.received import run_stayed
from slipway.ports.workspace import Workspace
from slipway.records.features import FeatureSetSpec, SkewCertificate, TrainingSet
from slipway.records.models import ModelVersion
from slipway.records.runs import Run

__all__ = ["TRAINING_SET", "package", "training_of", "training_set_of"]

TRAINING_SET = "training_set.json"
CONTENT = "slipway.content"


def package(
    workspace: Workspace,
    model: Model,
    run: Run,
    *,
    name: str,
    features: FeatureSetSpec | None = None,
    functions: Mapping[str, Callable[..., Any]] | None = None,
    training: TrainingSet | None = None,
    certificate: SkewCertificate | None = None,
) -> ModelVersion:
    """Make a bundle of a model and register it as the next version of its name; the very same model is no new version.

    Args:
        workspace: Where it goes.
        model: The trained model.
        run: The run that made it: its code, environment and inputs are the bundle's.
        name: The model's name.
        features: The feature set that its inputs come from, None when it takes them as they are.
        functions: The scalar features' functions by name; their code goes into the bundle.
        training: What it was trained on, where that was a training set of features.
        certificate: What came out of comparing the features' paths, None where there are no features.

    Raises:
        InvalidInput: The package does not answer as the model does.
        InvalidDeclaration: The features' code cannot be taken out of the project.
    """
    sources = code.extract(list((functions or {}).values()))
    data = [node for node in run.inputs if node.startswith("table:")]
    environment = run.environment or provenance.environment()
    # What is installed says whether it is the very same model: a lock depends on which code is loaded beside it.
    installed = environment if environment.lock else provenance.environment()
    # A bundle goes where the store is not: it names its packages itself.
    environment = msgspec.structs.replace(environment, lock=locks.names_of(workspace.blobs, environment))
    held_out = held_out_from(workspace, model, run, training)
    skew = "" if certificate is None else certificate.sentence
    parts = (sources, features, data, installed, training.fingerprint if training else "", skew, held_out)
    content = combine(model.slipway_fingerprint(), fingerprint(parts))
    former = next(iter(registry.versions(workspace, name)), None)
    if former is not None and former.tags.get(CONTENT) == content:
        workspace.say(f"Unchanged: {name} version {former.number} is this very model (bundle {former.bundle[:12]}).")
        return former
    packed = pack(
        workspace,
        model,
        name=name,
        through=prove_routes,
        features=features,
        code=sources,
        modules=_modules(sources),
        environment=environment,
        code_version=run.code,
        data=data,
        training_set=training.fingerprint if training else "",
        run_id=run.id,
        certificate=certificate,
        trained_until=training.last_at if training else None,
        held_out_from=held_out,
    )
    return registry.register(workspace, packed, run_id=run.id, tags={CONTENT: content})


def training_set_of(workspace: Workspace, run: Run) -> TrainingSet | None:
    """What a run was trained on, None when it made no training set of features."""
    found = [artifact for artifact in run.artifacts if artifact.name == TRAINING_SET]
    if not found:
        return None
    return msgspec.json.decode(workspace.blobs.get(found[0].digest), type=TrainingSet)


def training_of(workspace: Workspace, version: ModelVersion) -> TrainingSet | None:
    """What a version was trained on, also where its run is in another store; None where nobody knows.

    Raises:
        NotFound: The run, or what it says of its training set, is gone.
    """
    if version.training:
        return msgspec.json.decode(workspace.blobs.get(version.training), type=TrainingSet)
    if not version.run_id:
        return None
    with workspace.ledger.read() as tx:
        if run_stayed(tx, version):  # it made no training set, and is elsewhere
            return None
        run = entries.get(tx, Run, version.run_id)
    return training_set_of(workspace, run)


def _modules(sources: Mapping[str, str]) -> Sequence[str]:
    paths = [path.removesuffix(".py").removesuffix("/__init__") for path in sources]
    return [path.replace("/", ".") for path in paths]
