"""What a model was trained on, as it is recorded, and which of its inputs tell of a person."""

from __future__ import annotations

import msgspec

from slipway.errors import NotFound
from slipway.ledger import entries
from slipway.models.numbered import run_stayed
from slipway.ports.workspace import Workspace
from slipway.records.features import TrainingSet
from slipway.records.models import Bundle, ModelVersion
from slipway.records.runs import Run
from slipway.tables.personal import Personal, check_readable

__all__ = [
    "TRAINING_SET",
    "check_readable_behind",
    "personal_inputs",
    "personal_names",
    "personal_of",
    "training_behind",
    "training_of",
    "training_set_of",
]

TRAINING_SET = "training_set.json"
"""The name of the file of a run that says what it was trained on."""


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


def training_behind(workspace: Workspace, bundle: Bundle) -> TrainingSet | None:
    """The training set of a bundle's run, None where it made none of features or nothing is known of the run."""
    with workspace.ledger.read() as tx:
        if not bundle.run_id or tx.get(entries.kind_of(Run), bundle.run_id) is None:
            return None
        run = entries.get(tx, Run, bundle.run_id)
    return training_set_of(workspace, run)


def check_readable_behind(workspace: Workspace, bundle: Bundle) -> None:
    """Check that the actor may read all tables behind a bundle: else nothing of their rows is told by way of the model.

    Raises:
        Denied: One names its readers, and the actor is none.
    """
    for node in bundle.data:
        project, _, table = node.partition(":")[2].rpartition("@")[0].partition("/")
        check_readable(workspace, table, project=project)


def personal_inputs(workspace: Workspace, version: ModelVersion, bundle: Bundle) -> frozenset[str]:
    """A version's inputs that tell of a person: personal columns, and features that read one.

    All of them where tables behind it have personal columns and nobody knows any more what its features read.
    """
    return personal_names(workspace, version, bundle) & {field.name for field in bundle.signature.inputs}


def personal_names(workspace: Workspace, version: ModelVersion, bundle: Bundle) -> frozenset[str]:
    """The same, with fields of a request that are called as a personal column is."""
    try:
        training = training_of(workspace, version)
    except NotFound:
        training, is_known = None, False
    else:
        is_known = bundle.features is None or (training is not None and bool(training.reads))
    found = personal_of(workspace, bundle, training)
    return found if is_known or not found else found | {field.name for field in bundle.signature.inputs}


def personal_of(workspace: Workspace, bundle: Bundle, training: TrainingSet | None) -> frozenset[str]:
    """By name: the personal columns of the tables behind a bundle, and the features that read one."""
    known = Personal(workspace)
    names: set[str] = set()
    for node in bundle.data:
        project, _, table = node.partition(":")[2].rpartition("@")[0].partition("/")
        names |= known.names_ever(project, table)
    reads = training.reads if training else {}
    told = {feature for feature, columns in reads.items() if names & {one.rpartition(".")[2] for one in columns}}
    return frozenset(names | told)
