from collections.abc import Iterator

import pytest
from serving_desk import Desk


@pytest.fixture
def desk() -> Iterator[Desk]:
    opened = Desk()
    yield opened
    opened.close()
