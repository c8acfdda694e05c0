"""A passing endpoint: the real process of a bundle, for the time of a measurement. Nothing is deployed by it.

It lives in a temporary folder of its own, on a port of its own, with the store's trusted keys and, where its features
look back, an online store that is loaded as a deployment loads it.
"""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

import msgspec

from slipway.errors import BackendError
from slipway.flows.contracts import request_fields
from slipway.flows.endpoints import last_status
from slipway.flows.feed import feed
from slipway.models import bundle as bundles
from slipway.ports.launcher import LOG_FILE
from slipway.ports.workspace import Workspace
from slipway.processes import started
from slipway.records.endpoints import EMBEDDED, Contract, EndpointStatus, OnlinePlace, Revision, Served
from slipway.records.models import Bundle, ModelVersion
from slipway.serving.online_place import write_place
from slipway.serving.swap import publish

__all__ = ["Passing", "laid_out", "passing", "stop"]

_MODULE = "slipway.hosts.passing_endpoint"
_READY_WITHIN_S = 60.0
_STOP_WITHIN_S = 45.0
_LOOK_EVERY_S = 0.05
_KEYS = "keys"
_TOLD_BYTES = 4000


@dataclass(frozen=True, slots=True, kw_only=True)
class Passing:
    """A running endpoint.

    Args:
        folder: Its folder: `log` under it holds what it answered, whole once it was stopped.
        url: Where it answers.
        path: Where rows are asked.
        contract: What a request carries; every request may carry its own decision time, too.
        pid: The supervisor's process.
        ready_s: How long it took to start.
        bundle: The folder of the unpacked bundle.
    """

    folder: Path
    url: str
    path: str
    contract: Contract
    pid: int
    ready_s: float
    bundle: Path


@contextmanager
def passing(workspace: Workspace, version: ModelVersion, bundle: Bundle, *, workers: int = 1) -> Iterator[Passing]:
    """Start the endpoint process of a bundle, and end it with the block; `stop` ends it sooner, so that its log is whole.

    Args:
        workspace: Whose bundle and tables.
        version: Which one.
        bundle: Its manifest.
        workers: Processes that answer.

    Raises:
        BackendError: It does not start, or not in time; the sentence carries what it said.
        NotFound: A table that its features read has no version any more.
        InvalidInput: A table has no longer what the features read.
    """
    with laid_out(workspace, version, bundle, workers=workers) as (folder, revision):
        began = time.monotonic()
        process = _started(folder)
        try:
            url = _ready(folder, process)
            yield Passing(
                folder=folder,
                url=url,
                path=f"/endpoints/{version.name}/predict",
                contract=revision.contract,
                pid=process.pid,
                ready_s=time.monotonic() - began,
                bundle=folder / "bundles" / version.bundle,
            )
        finally:
            stop(process.pid)
            process.wait()


@contextmanager
def laid_out(
    workspace: Workspace, version: ModelVersion, bundle: Bundle, *, workers: int = 1
) -> Iterator[tuple[Path, Revision]]:
    """The folder of such an endpoint, ready to be started, and the revision that it holds; gone after the block.

    Raises:
        NotFound: A table that its features read has no version any more.
        InvalidInput: A table has no longer what the features read.
    """
    root = Path(tempfile.mkdtemp(prefix="slipway-passing-")).resolve()
    folder = root / "endpoints" / workspace.project / version.name
    place = _place(workspace, root)
    try:
        home = folder / "bundles" / version.bundle
        bundles.unpack(workspace, version.manifest, home, signature=version.signature, expect=version.bundle)
        # Whom the store trusts; its private key stays where it is.
        shutil.copytree(workspace.root / _KEYS / "trusted", root / _KEYS / "trusted")
        identity = feed(workspace, bundle, folder, place)
        write_place(folder, msgspec.structs.replace(place, identity=identity if place.url else ""))
        revision = _revision(workspace, version, Contract(fields=request_fields(bundle)), workers)
        publish(folder, revision, workspace.signer)
        yield folder, revision
    finally:
        if place.url:
            with closing(workspace.open_online(folder, place)) as store:
                store.drop()
        shutil.rmtree(root, ignore_errors=True)


def stop(pid: int) -> None:
    """End a passing endpoint after the requests that it began; its log is whole then. Ending it twice is fine."""
    until = time.monotonic() + _STOP_WITHIN_S
    with suppress(ProcessLookupError, ChildProcessError):
        os.kill(pid, signal.SIGTERM)
        while started(pid):  # until somebody waits for it, it is there and has ended
            if time.monotonic() > until:
                os.killpg(pid, signal.SIGKILL)
                return
            time.sleep(_LOOK_EVERY_S)


def _place(workspace: Workspace, root: Path) -> OnlinePlace:
    """An online store of the kind that the environment's endpoints have, apart from theirs."""
    return OnlinePlace(url=workspace.online, namespace=f"slipway:{root.name}") if workspace.online else EMBEDDED


def _revision(workspace: Workspace, version: ModelVersion, contract: Contract, workers: int) -> Revision:
    return Revision(
        id=f"{workspace.project}/{version.name}/1",
        project=workspace.project,
        name=version.name,
        created_at=workspace.clock.now(),
        number=1,
        environment=workspace.environment,
        served=Served(model=version.name, number=version.number, bundle=version.bundle),
        contract=contract,
        workers=workers,
        simulation=True,  # stored rows are asked as of their own decision times
        actor=workspace.actor,
        reason="a measurement",
    )


def _started(folder: Path) -> subprocess.Popen[bytes]:
    with (folder / LOG_FILE).open("ab") as log:
        return subprocess.Popen(
            [sys.executable, "-P", "-m", _MODULE, str(folder), str(os.getpid())],
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            start_new_session=True,
        )


def _ready(folder: Path, process: subprocess.Popen[bytes]) -> str:
    until = time.monotonic() + _READY_WITHIN_S
    while time.monotonic() < until:
        ended = process.poll() is not None  # looked at first: what it wrote before it ended is read below
        status = last_status(folder)
        if status is not None and status.state == "ready" and status.pid == process.pid and not ended:
            return status.url
        if ended or (status is not None and status.state == "failed"):
            raise BackendError(
                "The bundle's endpoint process did not start.",
                why=_last_words(folder, status),
                fix="Mend what it says; `slipway models show MODEL` tells what the bundle needs.",
            )
        time.sleep(_LOOK_EVERY_S)
    raise BackendError(
        f"The bundle's endpoint process was not ready within {_READY_WITHIN_S:g} seconds.",
        why=_last_words(folder, last_status(folder)),
        fix="Ask again when the machine is less busy, or look at what its code does when it is loaded.",
    )


def _last_words(folder: Path, status: EndpointStatus | None) -> str:
    if status is not None and status.note:
        return status.note
    said = (folder / LOG_FILE).read_bytes()[-_TOLD_BYTES:].decode(errors="replace")
    return "Its last lines: " + "\n".join(said.splitlines()[-15:])
