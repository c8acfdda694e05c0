"""Blobs in an object store, beside raw obstore with the same settings, and beside a local folder.

The store is moto in a process of its own, asked over HTTP on this machine, so its own time is in both sides; what the
network adds elsewhere is in both as well. Slipway also digests what it puts and verifies what it gets. Rows beside a
local folder have the folder as raw: what a page or a table pays for living in a bucket. Without the environment of moto
(`make .venv/stamps/s3`) nothing is measured.
"""

import os
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any
from uuid import uuid4

import httpx
import obstore
from obstore.store import from_url

from benchmarks.pairs import compare, row, seconds_of
from slipway.backends.local_blobs import LocalBlobs
from slipway.backends.object_blobs import ObjectBlobs
from slipway.ports.blobs import Blobs

PAIRS = 5
REMARK = """
100 MB go and come in pieces, on both sides. moto keeps everything in memory and answers one request at a time for each
connection; a real store has more in parallel, and a network before it.
"""
SIZES = {"1 KB": (1_000, 50), "1 MB": (1_000_000, 10), "100 MB": (100_000_000, 1)}

_PATH = "blobs in an object store"
_SERVER = Path(__file__).parents[1] / ".venv" / "s3" / "bin" / "moto_server"


@contextmanager
def _serving() -> Iterator[str]:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    process = subprocess.Popen(
        [str(_SERVER), "-H", "127.0.0.1", "-p", str(port)], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    url = f"http://127.0.0.1:{port}"
    try:
        while True:
            try:
                httpx.put(f"{url}/store")
                break
            except httpx.HTTPError:
                time.sleep(0.1)
        yield url
    finally:
        process.terminate()
        process.wait()


def _each(work: Callable[[Any], Any], given: list[Any]) -> float:
    def loop() -> None:
        for one in given:
            work(one)

    return seconds_of(loop) * 1000 / len(given)


def _fresh(folder: Path, size: int, calls: int) -> list[Path]:
    paths = [folder / uuid4().hex for _ in range(calls)]
    for path in paths:
        path.write_bytes(os.urandom(size))
    return paths


def _put(blobs: Blobs, folder: Path, size: int, calls: int) -> float:
    return _each(blobs.put_file, _fresh(folder, size, calls))


def _put_raw(store: Any, folder: Path, size: int, calls: int) -> float:
    return _each(lambda path: obstore.put(store, path.name, path), _fresh(folder, size, calls))


def _get_raw(store: Any, name: str, target: Path) -> None:
    with target.open("wb") as file:
        for piece in obstore.get(store, name).stream(min_chunk_size=8 << 20):
            file.write(piece)


def _rows(folder: Path, pairs: int, sizes: dict[str, tuple[int, int]]) -> list[dict[str, Any]]:
    ours, local = ObjectBlobs("s3://store/ours"), LocalBlobs(folder / "local")
    store = from_url("s3://store/raw", client_options={"allow_http": True})
    rows, target = [], folder / "target"
    for words, (size, calls) in sizes.items():
        (path,) = _fresh(folder, size, 1)
        one = ours.put_file(path)
        local.put_file(path)
        obstore.put(store, "one", path)
        puts = (partial(_put_raw, store), partial(_put, ours), partial(_put, local))
        raw, slipway, disk = (partial(put, folder, size, calls) for put in puts)
        rows.append(row(_PATH, f"put {words}, ms, beside obstore", compare(raw, slipway, pairs)))
        rows.append(row(_PATH, f"put {words}, ms, beside a local folder", compare(disk, slipway, pairs)))
        gets = [
            partial(_each, lambda name: _get_raw(store, name, target), ["one"] * calls),
            partial(_each, lambda digest: ours.fetch(digest, target), [one] * calls),
            partial(_each, lambda digest: local.fetch(digest, target), [one] * calls),
        ]
        rows.append(row(_PATH, f"fetch {words}, ms, beside obstore", compare(gets[0], gets[1], pairs)))
        rows.append(row(_PATH, f"fetch {words}, ms, beside a local folder", compare(gets[2], gets[1], pairs)))
        for left in folder.iterdir():
            if left.is_file():
                left.unlink()
    return rows


def run(pairs: int = PAIRS, sizes: dict[str, tuple[int, int]] | None = None) -> list[dict[str, Any]]:
    """Rows of the table; none where moto is not installed."""
    if not _SERVER.exists():
        print("moto is not installed: make .venv/stamps/s3", file=sys.stderr)
        return []
    given = {"AWS_ACCESS_KEY_ID": "k", "AWS_SECRET_ACCESS_KEY": "s", "AWS_REGION": "us-east-1"}
    with _serving() as url, tempfile.TemporaryDirectory(prefix="slipway-bench-") as folder:
        os.environ.update({**given, "AWS_ENDPOINT_URL": url})
        return _rows(Path(folder), pairs, SIZES if sizes is None else sizes)
