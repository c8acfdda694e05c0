"""Each store of blobs against the port's suite, and damage on the disk."""

import os
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from slipway.backends.local_blobs import LocalBlobs
from slipway.conformance.blobs import BlobsSuite
from slipway.errors import Corrupt
from slipway.ports.blobs import Blobs


class TestLocalBlobs(BlobsSuite):
    def make(self, folder: Path) -> Blobs:
        return LocalBlobs(folder)


def test_damage_is_an_error_and_never_bytes(tmp_path: Path) -> None:
    blobs = LocalBlobs(tmp_path / "blobs")
    digest = blobs.put(b"whole")
    path = tmp_path / "blobs" / digest[:2] / digest[2:]
    path.write_bytes(b"whol")
    with pytest.raises(Corrupt, match="damaged"):
        blobs.get(digest)
    with pytest.raises(Corrupt, match="damaged"):
        blobs.fetch(digest, tmp_path / "copy")
    assert sorted(each.name for each in tmp_path.iterdir()) == ["blobs"]


def test_putting_the_bytes_again_mends_damage(tmp_path: Path) -> None:
    blobs = LocalBlobs(tmp_path)
    digest = blobs.put(b"whole")
    (tmp_path / digest[:2] / digest[2:]).write_bytes(b"")
    blobs.put(b"whole")
    assert blobs.get(digest) == b"whole"


def test_a_file_that_changes_while_it_is_stored_is_not_stored_under_a_wrong_digest(tmp_path: Path) -> None:
    blobs = LocalBlobs(tmp_path / "blobs")
    source = tmp_path / "source"
    source.write_bytes(b"first")
    digest = blobs.put_file(source)
    source.write_bytes(b"second")
    assert blobs.get(digest) == b"first"


def test_what_is_put_again_counts_as_put_now(tmp_path: Path) -> None:
    blobs = LocalBlobs(tmp_path / "blobs")
    (tmp_path / "file").write_bytes(b"old")
    for again in (
        lambda: blobs.put(b"old"),
        lambda: blobs.put_file(tmp_path / "file"),
        lambda: blobs.put_files([tmp_path / "file"]),
    ):
        digest = blobs.put(b"old")
        os.utime(tmp_path / "blobs" / digest[:2] / digest[2:], (1, 1))
        again()
        assert not blobs.delete(digest, put_before=datetime.now(UTC) - timedelta(days=1))
        assert blobs.get(digest) == b"old"
    os.utime(tmp_path / "blobs" / digest[:2] / digest[2:], (1, 1))
    assert blobs.delete(digest, put_before=datetime.now(UTC) - timedelta(days=1))
