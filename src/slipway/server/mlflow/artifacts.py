"""MLflow's artifact proxy: files of runs and logged models, streamed in and out.

A path names a record and a file inside it. The bytes are blobs under their digest: no client chooses where they lie.
What is sent back is never shown by a browser: it is an attachment of no known kind.
"""

from collections.abc import Callable
from pathlib import Path
from typing import Any, BinaryIO

from msgspec import Struct
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import Response

from slipway.errors import InvalidInput, NotFound
from slipway.ledger import uploads
from slipway.ledger.stored_files import check_path, listed
from slipway.models import logged, registered_versions
from slipway.ports.ledger_store import ReadTransaction
from slipway.ports.workspace import Workspace
from slipway.records.runs import Artifact
from slipway.runs import outside
from slipway.server import sending
from slipway.server.mlflow.places import Place, place_of, run_root
from slipway.server.mlflow.routes import Area, Declared, Raw, read_body
from slipway.server.mlflow.runs import Which
from slipway.server.mlflow.wire import Int64, answer, read_json, read_query
from slipway.server.mlflow.words import needed

__all__ = ["area", "of_runs", "streams"]

area = Area("2.0/mlflow-artifacts", "runs")
of_runs = Area("2.0/mlflow/artifacts", "runs")

_SMALL_BYTES = 1 << 20
_PARTS = 10_000
_BODY_BYTES = 1 << 20


class Listing(Struct):
    """Which folder, as a path among all artifacts."""

    path: str = ""


class RunListing(Which):
    """Which folder of a run."""

    path: str = ""


class OfRun(Which):
    """Which file of a run."""

    path: str = ""


class OfModel(Struct):
    """Which file of a logged model."""

    artifact_file_path: str = ""


class OfVersion(Struct):
    """Which file of a registered version."""

    name: str = ""
    version: str = ""
    path: str = ""


class CreateUpload(Struct):
    """An upload in parts; `path` ends with the file's name."""

    path: str = ""
    num_parts: Int64 = 1


class Part(Struct):
    """A part that was sent."""

    part_number: Int64 = 0
    etag: str = ""
    url: str = ""


class EndUpload(Struct):
    """The end of an upload in parts."""

    path: str = ""
    upload_id: str = ""
    parts: list[Part] = []
    target: str = ""


@area.reads("GET", "/artifacts", Listing)
def list_all(workspace: Workspace, asked: Listing) -> dict[str, Any]:
    """What lies in a folder of a run or logged model; names without the folder."""
    place = place_of(needed(asked.path, "path").strip("/"))
    with workspace.ledger.read() as tx:
        files = _files(tx, workspace, place)
    found = [(name.rpartition("/")[2], size) for name, size in listed(files, place.path) if name != place.path]
    return {"files": [_info(name, size) for name, size in found]}


@of_runs.reads("GET", "/list", RunListing)
def list_of_run(workspace: Workspace, asked: RunListing) -> dict[str, Any]:
    """What lies in a folder of a run."""
    path = asked.path.strip("/")
    if path:
        check_path(path)
    with workspace.ledger.read() as tx:
        run = outside.get(tx, workspace, asked.id)
    files = [_info(name, size) for name, size in listed(run.artifacts, path) if name != path]
    return {"root_uri": run_root(run.experiment_id, run.id), "files": files}


async def create_upload(workspace: Workspace, request: Request, path: str) -> Response:
    """Begin an upload in parts. The parts go to this very server, under an id that nobody can guess."""
    asked = read_json(await read_body(request, _BODY_BYTES), CreateUpload)
    # As the client reached this server, up to the version of the API.
    here = str(request.url).partition("/2.0/mlflow-artifacts/")[0]
    return await run_in_threadpool(lambda: answer(_begun(workspace, asked, path, here)))


def _begun(workspace: Workspace, asked: CreateUpload, folder: str, here: str) -> dict[str, Any]:
    if not 1 <= asked.num_parts <= _PARTS:
        raise InvalidInput(f"{asked.num_parts} parts are no upload.", fix=f"Send 1 to {_PARTS:,}.", field="num_parts")
    place = _target(folder, asked.path)
    with workspace.ledger.read() as tx:
        _files(tx, workspace, place, writing=True)
    id = uploads.begin(workspace, place.text)
    where = f"{here}/2.0/mlflow-artifacts/mpu/parts/{id}"
    return {
        "upload_id": id,
        "credentials": [
            {"url": f"{where}/{number}", "part_number": number, "headers": {}}
            for number in range(1, asked.num_parts + 1)
        ],
    }


@area.changes("POST", "/mpu/complete/{target...}", EndUpload)
def complete_upload(workspace: Workspace, asked: EndUpload) -> dict[str, Any]:
    """End an upload in parts."""
    place = _known_target(workspace, asked)
    stored = uploads.finish(workspace, asked.upload_id, [part.part_number for part in asked.parts], place.path)
    _name(workspace, place, stored)
    return {}


@area.changes("POST", "/mpu/abort/{target...}", EndUpload)
def abort_upload(workspace: Workspace, asked: EndUpload) -> dict[str, Any]:
    """Give an upload in parts up."""
    _known_target(workspace, asked)
    uploads.abort(workspace, asked.upload_id)
    return {}


async def put_file(workspace: Workspace, request: Request, path: str) -> Response:
    """Take a file in."""
    place = place_of(path)

    def check() -> None:
        check_path(place.path)
        with workspace.ledger.read() as tx:
            _files(tx, workspace, place, writing=True)

    await run_in_threadpool(check)
    taken = await _taken(workspace, request)

    def store() -> None:
        if isinstance(taken, bytes):
            stored = uploads.keep_bytes(workspace, taken, place.path)
        else:
            try:
                stored = uploads.keep(workspace, taken, place.path)
            finally:
                taken.unlink(missing_ok=True)
        _name(workspace, place, stored)

    await run_in_threadpool(store)
    return answer({})


async def put_part(workspace: Workspace, request: Request, path: str) -> Response:
    """Take one part of an upload in."""
    id, _, number = path.partition("/")
    if not (number.isascii() and number.isdigit() and len(number) < 6):
        raise NotFound(f"There is no part {number[:20]!r}.", fix="Use the addresses that the upload began with.")
    await run_in_threadpool(uploads.target_of, workspace, id)
    written, named = uploads.new_part(workspace, id, int(number))
    taken = await _taken(workspace, request)

    def store() -> None:
        if isinstance(taken, bytes):
            written.write_bytes(taken)
            written.replace(named)
        else:
            taken.replace(named)

    await run_in_threadpool(store)
    return Response(status_code=200, headers={"etag": f'"{id}-{number}"'})


async def get_file(workspace: Workspace, request: Request, path: str) -> Response:
    """Send a file."""
    return await _sent(workspace, lambda tx: _one(_files(tx, workspace, place_of(path)), place_of(path).path))


async def get_of_run(workspace: Workspace, request: Request, path: str) -> Response:
    """Send a file of a run."""
    asked = read_query(request.query_params.multi_items(), OfRun)

    def found(tx: ReadTransaction) -> Artifact:
        return _one(outside.get(tx, workspace, asked.id).artifacts, needed(asked.path, "path"))

    return await _sent(workspace, found)


async def get_of_model(workspace: Workspace, request: Request, path: str) -> Response:
    """Send a file of a logged model."""
    asked = read_query(request.query_params.multi_items(), OfModel)

    def found(tx: ReadTransaction) -> Artifact:
        name = needed(asked.artifact_file_path, "artifact_file_path")
        return _one(logged.get(tx, workspace, path).artifacts, name)

    return await _sent(workspace, found)


async def get_of_version(workspace: Workspace, request: Request, path: str) -> Response:
    """Send a file of a registered version."""
    asked = read_query(request.query_params.multi_items(), OfVersion)

    def found(tx: ReadTransaction) -> Artifact:
        version = registered_versions.get_version(
            tx, workspace, needed(asked.name, "name"), needed(asked.version, "version")
        )
        if not version.location:
            raise NotFound(f"Version {asked.version} of {asked.name[:80]!r} has no such files.", fix="Deploy it.")
        place = place_of(version.location)
        inside = check_path(needed(asked.path, "path"))
        return _one(_files(tx, workspace, place), f"{place.path}/{inside}" if place.path else inside)

    return await _sent(workspace, found)


async def delete_file(workspace: Workspace, request: Request, path: str) -> Response:
    """Forget a file or folder."""
    place = place_of(path.rstrip("/"))

    def drop() -> None:
        with workspace.ledger.write() as tx:
            _files(tx, workspace, place, writing=True)
            if place.is_model:
                logged.drop_files(tx, workspace, place.record, place.path)
            else:
                outside.drop_files(tx, workspace, place.record, place.path)

    await run_in_threadpool(drop)
    return answer({})


def _raw(method: str, path: str, right: str, raw: Raw) -> Declared:
    return Declared(method=method, path=path, permission=f"runs.{right}", raw=raw)


streams = [
    _raw("GET", "2.0/mlflow-artifacts/artifacts/{path...}", "read", get_file),
    _raw("PUT", "2.0/mlflow-artifacts/artifacts/{path...}", "write", put_file),
    _raw("DELETE", "2.0/mlflow-artifacts/artifacts/{path...}", "write", delete_file),
    _raw("POST", "2.0/mlflow-artifacts/mpu/create/{path...}", "write", create_upload),
    _raw("PUT", "2.0/mlflow-artifacts/mpu/parts/{path...}", "write", put_part),
    _raw("GET", "2.0/mlflow/get-artifact", "read", get_of_run),
    _raw("GET", "get-artifact", "read", get_of_run),
    _raw("GET", "2.0/mlflow/logged-models/{path}/artifacts/files", "read", get_of_model),
    _raw("GET", "model-versions/get-artifact", "read", get_of_version),
    _raw("GET", "2.0/mlflow/model-versions/get-artifact", "read", get_of_version),
]


def _files(tx: ReadTransaction, workspace: Workspace, place: Place, *, writing: bool = False) -> tuple[Artifact, ...]:
    """The files of the record that a place is in."""
    if place.is_model:
        model = logged.get(tx, workspace, place.record)
        if model.experiment_id == place.experiment:
            return model.artifacts
    else:
        look = outside.get_open if writing else outside.get
        run = look(tx, workspace, place.record)
        if run.experiment_id == place.experiment:
            return run.artifacts
    raise NotFound(
        f"The experiment {place.experiment[:80]!r} has no {place.record[:80]!r}.",
        fix="Use the record's `artifact_uri`.",
    )


def _name(workspace: Workspace, place: Place, stored: Artifact) -> None:
    with workspace.ledger.write() as tx:
        if place.is_model:
            logged.store_file(tx, workspace, place.record, stored)
        else:
            outside.store_file(tx, workspace, place.record, stored)


def _target(folder: str, path: str) -> Place:
    name = path.replace("\\", "/").rpartition("/")[2]
    place = place_of(f"{folder.rstrip('/')}/{check_path(name)}")
    check_path(place.path)
    return place


def _known_target(workspace: Workspace, asked: EndUpload) -> Place:
    place = _target(asked.target, asked.path)
    if uploads.target_of(workspace, needed(asked.upload_id, "upload_id")) != place.text:
        raise InvalidInput("The upload was begun for another file.", fix="Name the file that it was begun for.")
    return place


def _one(files: tuple[Artifact, ...], path: str) -> Artifact:
    check_path(path)
    for file in files:
        if file.name == path:
            return file
    raise NotFound(f"No such artifact: {path[:200]!r}.", fix="List the folder that it should be in.")


def _info(name: str, size: int | None) -> dict[str, Any]:
    return {"path": name, "is_dir": size is None, "file_size": size}


async def _taken(workspace: Workspace, request: Request) -> bytes | Path:
    """The request's body: its bytes where they are few, else a file."""
    path: Path | None = None
    file: BinaryIO | None = None
    held: list[bytes] = []
    size = 0
    try:
        async for part in request.stream():
            held.append(part)
            size += len(part)
            if size >= _SMALL_BYTES:
                if file is None:
                    path = await run_in_threadpool(uploads.new_file, workspace)
                    file = path.open("wb")
                await run_in_threadpool(file.write, b"".join(held))
                held, size = [], 0
        if file is None or path is None:
            return b"".join(held)
        await run_in_threadpool(file.write, b"".join(held))
        file.close()
        return path
    except BaseException:
        if file is not None and path is not None:
            file.close()
            path.unlink(missing_ok=True)
        raise


async def _sent(workspace: Workspace, look: Callable[[ReadTransaction], Artifact]) -> Response:
    """The bytes of an artifact, verified against its digest before the first of them is sent."""

    def work() -> Response:
        with workspace.ledger.read() as tx:
            found = look(tx)
        return sending.stored(workspace, found)

    return await run_in_threadpool(work)
