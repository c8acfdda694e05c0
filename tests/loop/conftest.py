"""The looping project with three versions, and fresh copies of it, without processes."""

import shutil
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path

import pytest

from looping_desk import opened, prepare, train_more
from looping_hand import HandDesk, by_hand


@pytest.fixture(scope="session")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The project's folder; nobody may write here."""
    folder = tmp_path_factory.mktemp("trained") / "looping"
    prepare(folder)
    train_more(folder)
    return folder


@pytest.fixture
def fresh(trained: Path, tmp_path: Path) -> Callable[[], AbstractContextManager[HandDesk]]:
    """Opens a copy, each time another, with the first model deployed and its policy approved by a person."""

    @contextmanager
    def copied() -> Iterator[HandDesk]:
        folder = tmp_path / str(len(list(tmp_path.iterdir())))
        shutil.copytree(trained, folder)
        with opened(folder) as found:
            yield by_hand(found)

    return copied


@pytest.fixture
def desk(fresh: Callable[[], AbstractContextManager[HandDesk]]) -> Iterator[HandDesk]:
    """One of them."""
    with fresh() as found:
        yield found
