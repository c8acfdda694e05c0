"""Each online store against the port's suite."""

from collections.abc import Iterator
from pathlib import Path

import pytest

import redis_here
from slipway import plugins
from slipway.backends.sqlite_online import SqliteOnlineStore
from slipway.conformance.online_store import OnlineStoreSuite
from slipway.errors import BackendError, InvalidInput
from slipway.ports.online_store import OnlineStore
from slipway.records.features import Stream


class TestSqliteOnlineStore(OnlineStoreSuite):
    def make(self, folder: Path) -> OnlineStore:
        return SqliteOnlineStore(folder / "online" / "online.db")


@pytest.mark.full
class TestRedisOnlineStore(OnlineStoreSuite):
    @pytest.fixture(autouse=True)
    def _clean(self, tmp_path: Path) -> Iterator[None]:
        with redis_here.cleaned(f"test:{tmp_path}"):
            yield

    def make(self, folder: Path) -> OnlineStore:
        store: OnlineStore = plugins.load("online", "redis")(redis_here.URL, f"test:{folder}")
        return store


@pytest.mark.full
class TestRedisOnlineStoreByStages(TestRedisOnlineStore):
    """What is too much for one command is staged first."""

    @pytest.fixture(autouse=True)
    def _small(self, monkeypatch: pytest.MonkeyPatch) -> None:
        writes = pytest.importorskip("slipway.backends.redis_writes", reason="pip install 'slipway[redis]'")
        for name, value in (("_ARGUMENTS", 5), ("_ASKED", 7), ("_AT_ONCE", 4), ("_LONG", 2)):
            monkeypatch.setattr(writes, name, value)


def test_sqlite_says_what_is_wrong_with_a_file(tmp_path: Path) -> None:
    (tmp_path / "online.db").write_bytes(b"not a database, but long enough to be looked at" * 50)
    with pytest.raises(BackendError, match="not a database"):
        SqliteOnlineStore(tmp_path / "online.db")


def test_sqlite_refuses_names_that_do_not_fit_into_sql(tmp_path: Path) -> None:
    store = SqliteOnlineStore(tmp_path / "online.db")
    with pytest.raises(InvalidInput, match="cannot name a stream"):
        store.define([Stream(name='a"; drop table marks', columns=())], [])
    store.close()
