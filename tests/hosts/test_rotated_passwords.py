"""Passwords that change in their files while connections are open: the next connection has the new one."""

from contextlib import closing
from functools import partial
from pathlib import Path

import pytest

from postgres_here import own_cluster
from redis_here import own_redis
from slipway.errors import BackendError
from slipway.hosts.ledgers import open_ledger
from slipway.serving.secret_urls import resolved

pytestmark = pytest.mark.full


def test_a_postgres_role_is_followed_without_a_restart(tmp_path: Path) -> None:
    psycopg = pytest.importorskip("psycopg", reason="pip install 'slipway[postgres]'")
    kept = tmp_path / "password"
    with own_cluster() as cluster, psycopg.connect(cluster.url, autocommit=True) as admin:
        ends = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = 'slipway'"
        admin.execute("CREATE ROLE slipway LOGIN PASSWORD 'first'")
        admin.execute("CREATE DATABASE slipway OWNER slipway")
        kept.write_text("first\n")
        url = f"postgresql://slipway:${{file:{kept}}}@127.0.0.1:{cluster.port}/slipway"
        with closing(open_ledger(tmp_path / "store", url)) as store:
            with store.read() as tx:
                assert tx.roots() == []
            admin.execute("ALTER ROLE slipway PASSWORD 'second'")
            kept.write_text("second\n")
            admin.execute(ends)
            with store.read() as tx:
                assert tx.roots() == []
            kept.write_text("a-wrong-one\n")
            admin.execute(ends)
            with pytest.raises(BackendError, match="does not let Slipway in") as refused, store.read() as tx:
                tx.roots()
            assert "a-wrong-one" not in str(refused.value)
        written = [path.read_bytes() for path in (tmp_path / "store").rglob("*") if path.is_file()]
        assert written
        assert not [content for content in written if b"first" in content or b"second" in content]


def test_a_redis_is_followed_without_a_restart(tmp_path: Path) -> None:
    redis = pytest.importorskip("redis")
    from slipway.backends.redis_link import Link, pack

    kept = tmp_path / "password"
    kept.write_text("first")
    with own_redis(tmp_path / "redis", "--requirepass", "first") as own:
        url = f"redis://:${{file:{kept}}}@127.0.0.1:{own.port}/0"
        link = Link(partial(resolved, url, is_quoted=True), patience_s=5)
        assert link.ask(pack(b"PING")) == b"PONG"
        assert link.ask(pack(b"CONFIG", b"SET", b"requirepass", b"second")) == b"OK"
        with redis.Redis(port=own.port, password="second") as admin:
            kept.write_text("second")
            admin.client_kill_filter(_type="normal", skipme=True)
            assert link.ask(pack(b"PING")) == b"PONG"
            kept.write_text("a-wrong-one")
            admin.client_kill_filter(_type="normal", skipme=True)
            with pytest.raises(BackendError, match="right user and password") as refused:
                link.ask(pack(b"PING"))
        assert "a-wrong-one" not in str(refused.value)
        link.close()
