"""What every store of blobs must do."""

# ruff: noqa: D102  # a test's name is its sentence

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from pathlib import Path

from slipway.errors import NotFound, SlipwayError
from slipway.hashing import digest
from slipway.ports.blobs import Blobs

__all__ = ["BlobsSuite"]

_LARGE = bytes(range(256)) * 12_000  # three megabytes: more than one chunk

_AN_HOUR = timedelta(hours=1)


def _raised(kind: type[SlipwayError], work: Callable[[], object]) -> None:
    try:
        work()
    except kind:
        return
    raise AssertionError(f"{kind.__name__} was expected")


class BlobsSuite:
    """Override `make`; each test opens a store of its own in an empty folder."""

    def make(self, folder: Path) -> Blobs:
        """Open the store in a folder; opening the same folder again opens the same store."""
        raise NotImplementedError

    def test_bytes_come_back_under_their_digest(self, tmp_path: Path) -> None:
        blobs = self.make(tmp_path)
        for data in (b"", b"a", _LARGE):
            assert blobs.put(data) == digest(data)
            assert blobs.has(digest(data))
            assert blobs.get(digest(data)) == data
            assert self.make(tmp_path).get(digest(data)) == data

    def test_the_same_bytes_may_be_put_again(self, tmp_path: Path) -> None:
        blobs = self.make(tmp_path)
        assert blobs.put(b"abc") == blobs.put(b"abc")
        assert blobs.get(digest(b"abc")) == b"abc"

    def test_a_file_is_stored_and_left_where_it_is(self, tmp_path: Path) -> None:
        blobs = self.make(tmp_path / "store")
        source = tmp_path / "source.bin"
        source.write_bytes(_LARGE)
        assert blobs.put_file(source) == digest(_LARGE)
        assert source.read_bytes() == _LARGE
        assert blobs.get(digest(_LARGE)) == _LARGE

    def test_many_files_are_stored_at_once_each_content_once(self, tmp_path: Path) -> None:
        blobs = self.make(tmp_path / "store")
        contents = [b"", b"a", _LARGE, _LARGE * 4, b"a", *(str(n).encode() for n in range(300))]
        paths = [tmp_path / f"{position}.bin" for position in range(len(contents))]
        for path, content in zip(paths, contents, strict=True):
            path.write_bytes(content)
        blobs.put(b"7")
        told = blobs.put_files(paths)
        assert [one for one, _ in told] == [digest(content) for content in contents]
        old = [content for content, (_, new) in zip(contents, told, strict=True) if not new]
        assert sorted(old) == [b"7", b"a"]
        assert all(self.make(tmp_path / "store").get(digest(content)) == content for content in contents)
        assert not any(new for _, new in blobs.put_files(paths))

    def test_a_link_has_the_bytes_or_is_not_made(self, tmp_path: Path) -> None:
        blobs, path = self.make(tmp_path / "store"), tmp_path / "link.bin"
        if blobs.link(blobs.put(b"abc"), path):
            assert path.read_bytes() == b"abc"
            assert not path.stat().st_mode & 0o222
            try:
                blobs.link(digest(b"abc"), path)
            except FileExistsError:
                pass
            else:
                raise AssertionError("it was made twice")
        else:
            assert not path.exists()
        _raised(NotFound, lambda: blobs.link(digest(b"other"), tmp_path / "none.bin"))

    def test_a_deleted_blob_is_gone_and_may_come_again(self, tmp_path: Path) -> None:
        blobs = self.make(tmp_path)
        blobs.put(b"abc")
        blobs.put(b"abd")
        assert blobs.delete(digest(b"abc"))
        assert not blobs.has(digest(b"abc"))
        _raised(NotFound, lambda: blobs.get(digest(b"abc")))
        assert not blobs.delete(digest(b"abc"))
        assert blobs.get(digest(b"abd")) == b"abd"
        assert blobs.get(blobs.put(b"abc")) == b"abc"

    def test_what_is_stored_is_listed_and_what_was_just_put_is_not_deleted(self, tmp_path: Path) -> None:
        blobs = self.make(tmp_path)
        assert list(blobs.stored()) == []
        begun = datetime.now(UTC)
        for data in (b"", b"abc", _LARGE):
            blobs.put(data)
        found = {blob.digest: blob for blob in self.make(tmp_path).stored()}
        assert {name: blob.size_bytes for name, blob in found.items()} == {
            digest(data): len(data) for data in (b"", b"abc", _LARGE)
        }
        assert all(abs(blob.put_at - begun) <= _AN_HOUR for blob in found.values())
        assert not blobs.delete(digest(b"abc"), put_before=begun - _AN_HOUR)
        assert blobs.get(digest(b"abc")) == b"abc"
        assert blobs.delete(digest(b"abc"), put_before=begun + _AN_HOUR)
        assert {blob.digest for blob in blobs.stored()} == {digest(b""), digest(_LARGE)}

    def test_what_is_renewed_counts_as_put_now(self, tmp_path: Path) -> None:
        blobs = self.make(tmp_path)
        begun = datetime.now(UTC)
        assert blobs.renew(blobs.put(b"abc"))
        assert not blobs.delete(digest(b"abc"), put_before=begun - _AN_HOUR)
        assert blobs.get(digest(b"abc")) == b"abc"
        assert not blobs.renew(digest(b"missing"))
        assert not blobs.has(digest(b"missing"))

    def test_tidying_leaves_all_blobs(self, tmp_path: Path) -> None:
        blobs = self.make(tmp_path)
        blobs.put(b"abc")
        assert blobs.tidy(datetime.now(UTC) + _AN_HOUR, dry_run=True) >= 0
        assert blobs.tidy(datetime.now(UTC) + _AN_HOUR) >= 0
        assert blobs.get(digest(b"abc")) == b"abc"
        assert blobs.tidy(datetime.now(UTC) + _AN_HOUR) == 0

    def test_a_blob_is_fetched_into_a_file(self, tmp_path: Path) -> None:
        blobs = self.make(tmp_path / "store")
        target = tmp_path / "new" / "folder" / "file.bin"
        blobs.fetch(blobs.put(_LARGE), target)
        assert target.read_bytes() == _LARGE
        blobs.fetch(blobs.put(b"other"), target)
        assert target.read_bytes() == b"other"
        assert [path.name for path in target.parent.iterdir()] == ["file.bin"], "nothing else is left behind"

    def test_what_is_not_there_is_not_found(self, tmp_path: Path) -> None:
        blobs = self.make(tmp_path / "store")
        missing = digest(b"missing")
        assert not blobs.has(missing)
        _raised(NotFound, lambda: blobs.get(missing))
        _raised(NotFound, lambda: blobs.fetch(missing, tmp_path / "file"))
        assert not (tmp_path / "file").exists()

    def test_what_is_not_a_digest_leads_nowhere(self, tmp_path: Path) -> None:
        blobs = self.make(tmp_path / "store")
        (tmp_path / "secret").write_bytes(b"secret")
        for given in ("", "../secret", "ab/../../secret", digest(b"a").upper(), digest(b"a") + "0", "0" * 63 + "/"):
            _raised(NotFound, lambda given=given: blobs.get(given))  # type: ignore[misc]

    def test_many_threads_may_put_the_same_bytes(self, tmp_path: Path) -> None:
        blobs = self.make(tmp_path)
        values = [f"value {i % 4}".encode() * 5000 for i in range(24)]
        with ThreadPoolExecutor(6) as pool:
            stored = list(pool.map(blobs.put, values))
        assert stored == [digest(value) for value in values]
        assert {blobs.get(each) for each in stored} == set(values)
