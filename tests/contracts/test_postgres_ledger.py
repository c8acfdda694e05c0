"""The ledger in PostgreSQL against the port's suite, and what only it can show."""

from collections.abc import Iterator
from pathlib import Path

import pytest

import postgres_here
from slipway.conformance.ledger_store import LedgerStoreSuite
from slipway.ports.ledger_store import LedgerStore

pytestmark = pytest.mark.full


@pytest.fixture
def url() -> Iterator[str]:
    with postgres_here.cleaned() as found:
        yield found


def opened(url: str) -> LedgerStore:
    from slipway.backends.postgres_ledger import PostgresLedger

    return PostgresLedger(url)


class TestPostgresLedger(LedgerStoreSuite):
    @pytest.fixture(autouse=True)
    def _here(self, url: str) -> None:
        self.url = url

    def make(self, folder: Path) -> LedgerStore:
        return opened(self.url)
