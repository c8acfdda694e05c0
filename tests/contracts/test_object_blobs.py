"""Blobs in object stores: the port's suite over HTTP, and what only an object store can do wrong."""

import os
import threading
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from urllib.parse import unquote

import pytest

import objects_here
from slipway.backends import object_blobs, object_bucket
from slipway.backends.object_blobs import ObjectBlobs
from slipway.conformance.blobs import BlobsSuite
from slipway.errors import BackendError, Corrupt, InvalidSetting, Unavailable
from slipway.hashing import digest
from slipway.ports.blobs import Blobs


@pytest.fixture(scope="module")
def s3_server() -> Iterator[dict[str, str]]:
    with objects_here.s3() as environment:
        yield environment


@pytest.fixture(scope="module")
def azure_server() -> Iterator[dict[str, str]]:
    with objects_here.azure() as environment:
        yield environment


@pytest.fixture(scope="module")
def google_server() -> Iterator[dict[str, str]]:
    with objects_here.google() as environment:
        yield environment


@pytest.fixture
def s3(s3_server: dict[str, str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> str:
    """The URL of an empty place in a bucket."""
    set_all(monkeypatch, s3_server)
    return f"s3://store/{objects_here.named_bucket(tmp_path)}"


def set_all(monkeypatch: pytest.MonkeyPatch, environment: dict[str, str]) -> None:
    for name, value in environment.items():
        monkeypatch.setenv(name, value)


class ObjectSuite(BlobsSuite):
    scheme = ""

    def make(self, folder: Path) -> Blobs:
        return ObjectBlobs(f"{self.scheme}://store/{objects_here.named_bucket(folder)}")


@pytest.mark.full
class TestS3(ObjectSuite):
    scheme = "s3"

    @pytest.fixture(autouse=True)
    def server(self, s3_server: dict[str, str], monkeypatch: pytest.MonkeyPatch) -> None:
        set_all(monkeypatch, s3_server)


@pytest.mark.full
class TestS3Parts(TestS3):
    def make(self, folder: Path) -> Blobs:
        return ObjectBlobs(f"s3://store/{objects_here.named_bucket(folder)}").parts("flights", "flights")


@pytest.mark.full
class TestAzure(ObjectSuite):
    scheme = "az"

    @pytest.fixture(autouse=True)
    def server(self, azure_server: dict[str, str], monkeypatch: pytest.MonkeyPatch) -> None:
        set_all(monkeypatch, azure_server)


@pytest.mark.full
class TestGoogle(ObjectSuite):
    scheme = "gs"

    @pytest.fixture(autouse=True)
    def server(self, google_server: dict[str, str], monkeypatch: pytest.MonkeyPatch) -> None:
        set_all(monkeypatch, google_server)


@pytest.mark.full
def test_objects_lie_where_the_documentation_says(s3: str) -> None:
    blobs = ObjectBlobs(s3)
    one = blobs.put(b"abc")
    part = blobs.parts("flights", "late").put(b"abc")
    assert part == one
    assert {found.name for found in blobs.bucket.under("")} == {
        f"blobs/{one[:2]}/{one[2:]}",
        f"tables/flights/late/{one}.parquet",
    }
    assert [found.digest for found in blobs.stored()] == [one]


@pytest.mark.full
def test_a_new_blob_is_one_request_and_one_that_is_there_is_not_written_again(
    s3: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    door = objects_here.Door(os.environ["AWS_ENDPOINT_URL"])
    monkeypatch.setenv("AWS_ENDPOINT_URL", door.url)
    blobs = ObjectBlobs(s3)
    blobs.put(b"abc")
    assert [method for method, _ in door.asked] == ["PUT"]
    first = next(iter(blobs.stored())).put_at
    door.asked.clear()
    blobs.put(b"abc")
    assert [method for method, _ in door.asked] == ["PUT", "HEAD"]
    large = bytes(2 << 20)
    blobs.put(large)
    door.asked.clear()
    blobs.put(large)
    assert [method for method, _ in door.asked] == ["HEAD"], "large bytes are not sent to be refused"
    assert next(one for one in blobs.stored() if one.digest == digest(b"abc")).put_at == first
    door.close()


@pytest.mark.full
def test_what_was_put_long_ago_is_put_anew_and_counts_as_put_now(s3: str, monkeypatch: pytest.MonkeyPatch) -> None:
    blobs = ObjectBlobs(s3)
    one = blobs.put(b"abc")
    before = next(iter(blobs.stored())).put_at
    monkeypatch.setattr(object_blobs, "_YOUNG", timedelta(microseconds=-1))
    while datetime.now(UTC) - before < timedelta(seconds=1.5):  # the store's clock shows seconds
        time.sleep(0.05)
    blobs.put(b"abc")
    assert next(iter(blobs.stored())).put_at > before
    assert not blobs.delete(one, put_before=before + timedelta(milliseconds=1))
    assert blobs.get(one) == b"abc"


@pytest.mark.full
def test_who_puts_anew_what_is_being_deleted_finds_it_stored(s3: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """The deletion has found it old, and removes it after it was written anew."""
    blobs, other = ObjectBlobs(s3), ObjectBlobs(s3)
    one = blobs.put(b"abc")
    monkeypatch.setattr(object_blobs, "_YOUNG", timedelta(microseconds=-1))
    putting = threading.Thread(target=other.put, args=(b"abc",))
    removing = blobs.bucket.delete

    def late(name: str) -> None:
        if not name.startswith("deleting/") and not putting.ident:
            was_put = threading.Event()
            sending = other.bucket.put

            def told(name: str, data: bytes, *, create: bool) -> bool:
                written = sending(name, data, create=create)
                if not create:
                    was_put.set()
                return written

            monkeypatch.setattr(other.bucket, "put", told)
            putting.start()
            assert was_put.wait(60)
        removing(name)

    monkeypatch.setattr(blobs.bucket, "delete", late)
    assert blobs.delete(one, put_before=datetime.now(UTC) + timedelta(hours=1))
    putting.join(60)
    assert not putting.is_alive()
    assert blobs.get(one) == b"abc"
    assert not list(blobs.bucket.under("deleting"))


@pytest.mark.full
def test_a_mark_of_a_deletion_that_died_keeps_nobody(s3: str, monkeypatch: pytest.MonkeyPatch) -> None:
    blobs = ObjectBlobs(s3)
    one = blobs.put(b"abc")
    blobs.bucket.put(blobs._mark(one), b"", create=False)
    monkeypatch.setattr(object_blobs, "_YOUNG", timedelta(microseconds=-1))
    monkeypatch.setattr(object_blobs, "_DELETING_S", 0.5)
    blobs.put(b"abc")
    assert not list(blobs.bucket.under("deleting"))


@pytest.mark.full
def test_damage_is_an_error_and_never_bytes(s3: str, tmp_path: Path) -> None:
    blobs = ObjectBlobs(s3)
    one = blobs.put(b"whole")
    blobs.bucket.put(f"blobs/{one[:2]}/{one[2:]}", b"whol", create=False)
    with pytest.raises(Corrupt, match="damaged"):
        blobs.get(one)
    with pytest.raises(Corrupt, match="damaged"):
        blobs.fetch(one, tmp_path / "copy")
    assert not list(tmp_path.iterdir())
    blobs.put(b"whole")
    assert blobs.get(one) == b"whole"


@pytest.mark.full
def test_a_large_file_goes_in_pieces_and_appears_whole(
    s3: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    door = objects_here.Door(os.environ["AWS_ENDPOINT_URL"])
    monkeypatch.setenv("AWS_ENDPOINT_URL", door.url)
    blobs, path = ObjectBlobs(s3), tmp_path / "large"
    path.write_bytes(os.urandom(20 << 20))
    assert not blobs.has(digest(b"any")), "from now on the bucket is known to be there"
    door.asked.clear()
    one = blobs.put_file(path)
    assert [method for method, _ in door.asked] == ["HEAD", "POST", "PUT", "PUT", "PUT", "POST"]
    blobs.fetch(one, tmp_path / "again")
    assert (tmp_path / "again").read_bytes() == path.read_bytes()
    door.close()


@pytest.mark.full
def test_a_file_that_changes_while_it_is_stored_is_not_stored(s3: str, tmp_path: Path) -> None:
    blobs, path = ObjectBlobs(s3), tmp_path / "file"
    for size in (3, 20 << 20):
        path.write_bytes(bytes(size))
        with pytest.raises(BackendError, match="changed while"):
            blobs._keep_file(path, digest(b"what it was"))
    assert not list(blobs.bucket.under(""))


@pytest.mark.full
def test_a_bucket_that_does_not_exist_is_no_missing_blob(s3: str, tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(bytes(20 << 20))
    for ask in (
        lambda blobs: blobs.has(digest(b"a")),
        lambda blobs: blobs.get(digest(b"a")),
        lambda blobs: blobs.put(b"a"),
        lambda blobs: blobs.put_file(tmp_path / "file"),
        lambda blobs: blobs.delete(digest(b"a")),
        lambda blobs: list(blobs.stored()),
    ):
        with pytest.raises(BackendError, match="bucket 'nowhere' of s3://nowhere/prod does not exist") as told:
            ask(ObjectBlobs("s3://nowhere/prod"))
        assert not isinstance(told.value, Unavailable)


@pytest.fixture
def door(monkeypatch: pytest.MonkeyPatch) -> Iterator[objects_here.Door]:
    made = objects_here.Door()
    set_all(monkeypatch, objects_here.s3_environment(made.url))
    monkeypatch.setattr(object_bucket, "_RETRY_FOR", timedelta(milliseconds=300))
    yield made
    made.close()


_DENIED = (
    "<Error><Code>InvalidAccessKeyId</Code><AWSAccessKeyId>an-access-key</AWSAccessKeyId>"
    "<StringToSign>AWS4-HMAC-SHA256</StringToSign></Error>"
)


@pytest.mark.parametrize(
    ("status", "body", "kind", "told"),
    [
        (503, "<Error><Code>SlowDown</Code></Error>", Unavailable, "answers with status 503"),
        (500, "", Unavailable, "answers with status 500"),
        (403, _DENIED, BackendError, r"refuses: nothing may be .* there( \(InvalidAccessKeyId\))?\."),
        (401, "", BackendError, "refuses: nothing may be"),
        (400, "<Error><Code>ExpiredToken</Code></Error>", BackendError, "refuses: nothing can be"),
        (
            301,
            "<Error><Code>PermanentRedirect</Code></Error>",
            BackendError,
            "is elsewhere: it sends its clients to another region",
        ),
    ],
)
def test_what_a_store_answers_becomes_a_sentence_without_a_secret(
    door: objects_here.Door, status: int, body: str, kind: type[BackendError], told: str
) -> None:
    door.status, door.body = status, body
    blobs = ObjectBlobs("s3://shop/prod")
    for ask in (
        lambda: blobs.put(b"a"),
        lambda: blobs.get(digest(b"a")),
        lambda: blobs.has(digest(b"a")),
        lambda: list(blobs.stored()),
    ):
        with pytest.raises(BackendError, match=f"^The object store s3://shop/prod {told}") as found:
            ask()
        assert type(found.value) is kind
        assert found.value.fix
        for secret in (objects_here.SECRET, "an-access-key", "AWS4-HMAC"):
            assert secret not in str(found.value)
        assert found.value.__suppress_context__


def test_a_store_that_is_not_there_is_unavailable_soon(door: objects_here.Door, tmp_path: Path) -> None:
    door.close()
    blobs = ObjectBlobs("s3://shop/prod")
    (tmp_path / "file").write_bytes(bytes(20 << 20))
    for ask in (
        lambda: blobs.put(b"a"),
        lambda: blobs.put_file(tmp_path / "file"),
        lambda: blobs.get(digest(b"a")),
        lambda: blobs.fetch(digest(b"a"), tmp_path / "copy"),
        lambda: blobs.delete(digest(b"a")),
        lambda: list(blobs.stored()),
    ):
        with pytest.raises(Unavailable, match=r"^The object store s3://shop/prod cannot be reached"):
            ask()


def test_a_store_that_takes_a_connection_and_says_nothing_is_unavailable(monkeypatch: pytest.MonkeyPatch) -> None:
    import socket

    with socket.socket() as silent:
        silent.bind(("127.0.0.1", 0))
        silent.listen(50)
        set_all(monkeypatch, objects_here.s3_environment(f"http://127.0.0.1:{silent.getsockname()[1]}"))
        monkeypatch.setattr(object_bucket, "_SILENCE", timedelta(milliseconds=200))
        monkeypatch.setattr(object_bucket, "_RETRY_FOR", timedelta(milliseconds=300))
        blobs = ObjectBlobs("s3://shop/prod")
        for ask in (lambda: blobs.put(b"a"), lambda: blobs.get(digest(b"a")), lambda: list(blobs.stored())):
            with pytest.raises(Unavailable, match="does not answer"):
                ask()


def test_azure_needs_an_account(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in list(os.environ):
        if name.startswith("AZURE_"):
            monkeypatch.delenv(name)
    with pytest.raises(InvalidSetting, match="AZURE_STORAGE_ACCOUNT_NAME"):
        ObjectBlobs("az://container/prod")


def test_each_kind_is_asked_at_its_own_address(monkeypatch: pytest.MonkeyPatch) -> None:
    made = objects_here.Door()
    made.status = 403
    set_all(monkeypatch, objects_here.s3_environment(made.url))
    monkeypatch.setenv("GOOGLE_BASE_URL", made.url)
    monkeypatch.setenv("GOOGLE_BEARER_TOKEN", "a-token")
    monkeypatch.setenv("AZURE_STORAGE_ACCOUNT_NAME", "shop")
    monkeypatch.setenv("AZURE_STORAGE_ACCOUNT_KEY", objects_here.KEY)
    monkeypatch.setenv("AZURE_STORAGE_ENDPOINT", f"{made.url}/shop")
    one = digest(b"a")
    for scheme, path in (("s3", "/place"), ("gs", "/place"), ("az", "/shop/place")):
        made.asked.clear()
        with pytest.raises(BackendError, match=f"{scheme}://place/pre/fix refuses"):
            ObjectBlobs(f"{scheme}://place/pre/fix/").get(one)
        ((method, asked),) = made.asked
        assert (method, unquote(asked)) == ("GET", f"{path}/pre/fix/blobs/{one[:2]}/{one[2:]}")
    made.close()


@pytest.mark.full
def test_a_store_that_is_away_for_seconds_is_waited_for(
    door: objects_here.Door, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As often as there is time for, and not five times within one second."""
    monkeypatch.setattr(object_bucket, "_RETRY_FOR", timedelta(minutes=2))
    door.status = 503
    blobs = ObjectBlobs("s3://shop/prod")

    def comes_back() -> None:
        while len(door.asked) < 12:
            time.sleep(0.01)
        door.status = 403

    threading.Thread(target=comes_back, daemon=True).start()
    with pytest.raises(BackendError, match="refuses"):
        blobs.put(b"a")


def test_whoever_comes_while_a_store_is_away_does_not_wait_too(
    door: objects_here.Door, monkeypatch: pytest.MonkeyPatch
) -> None:
    blobs = ObjectBlobs("s3://shop/prod")
    door.status = 503
    with pytest.raises(Unavailable):
        blobs.put(b"a")
    monkeypatch.setattr(object_bucket, "_RETRY_FOR", timedelta(hours=1))
    with pytest.raises(Unavailable):
        blobs.put(b"a")
    before = len(door.asked)
    for _ in range(3):
        with pytest.raises(Unavailable):
            blobs.put(b"a")
    assert len(door.asked) == before + 3, "each asks once"
    door.status = 403
    with pytest.raises(BackendError, match="refuses"):
        blobs.put(b"a")
