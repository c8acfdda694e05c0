"""A PostgreSQL that is killed and started again under a server: 503 meanwhile, nothing acknowledged lost, nothing doubled."""

import threading
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from hosts_up import up
from postgres_here import Cluster, own_cluster
from slipway.hosts.project import open_workspace

pytestmark = pytest.mark.full

WRITERS = 4


@pytest.fixture
def cluster() -> Iterator[Cluster]:
    with own_cluster() as made:
        yield made


def test_a_database_that_is_killed_and_comes_back(cluster: Cluster, tmp_path: Path) -> None:
    open_workspace(tmp_path, project="default", ledger=cluster.url).ledger.close()
    with up(tmp_path) as (server, _), httpx.Client(base_url=f"{server}/api/2.0/mlflow", timeout=60) as client:
        created = client.post("/runs/create", json={"experiment_id": "0"})
        run = created.json()["run"]["info"]["run_id"]
        cluster.kill()
        refused = client.post("/runs/search", json={"experiment_ids": ["0"]})
        assert refused.status_code == 503
        assert refused.headers["Retry-After"]
        assert refused.json()["error_code"] == "TEMPORARILY_UNAVAILABLE"
        assert httpx.get(server).status_code == 503
        figures = httpx.get(f"{server}/metrics", timeout=60)
        assert figures.status_code == 200, "alerts hang on what the process counts"
        assert "slipway_ledger_failures_total{" in figures.text
        assert "slipway_runs_active " not in figures.text
        cluster.start()
        assert client.post("/runs/search", json={"experiment_ids": ["0"]}).status_code == 200

        acknowledged, statuses = _killed_under_writers(cluster, client, run)
        assert statuses == {200, 503}
        for writer, steps in acknowledged.items():
            history = client.get(
                "/metrics/get-history", params={"run_id": run, "metric_key": f"m{writer}", "max_results": 25_000}
            )
            kept = [point.get("step", 0) for point in history.json()["metrics"]]
            assert len(kept) == len(set(kept))
            assert steps <= set(kept)


def _killed_under_writers(cluster: Cluster, client: httpx.Client, run: str) -> tuple[dict[int, set[int]], set[int]]:
    """Kill it under writers and start it again; gives the acknowledged steps of each writer, and all statuses."""
    acknowledged: dict[int, set[int]] = {writer: set() for writer in range(WRITERS)}
    statuses: set[int] = set()
    refused, done = threading.Event(), threading.Event()

    def write(writer: int) -> None:
        for step in range(20_000):
            if done.is_set():
                return
            point = {"run_id": run, "key": f"m{writer}", "value": 1.0, "timestamp": 1, "step": step}
            status = client.post("/runs/log-metric", json=point).status_code
            statuses.add(status)
            if status == 200:
                acknowledged[writer].add(step)
            else:
                refused.set()
                done.wait(0.05)

    threads = [threading.Thread(target=write, args=(writer,)) for writer in acknowledged]
    for thread in threads:
        thread.start()
    while not all(len(steps) > 20 for steps in acknowledged.values()):
        assert any(thread.is_alive() for thread in threads)
        done.wait(0.05)
    cluster.kill()
    assert refused.wait(60)
    cluster.start()
    before = {writer: len(steps) for writer, steps in acknowledged.items()}
    while not all(len(steps) > before[writer] + 20 for writer, steps in acknowledged.items()):
        assert any(thread.is_alive() for thread in threads)
        done.wait(0.05)
    done.set()
    for thread in threads:
        thread.join()
    return acknowledged, statuses
