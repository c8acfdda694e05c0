"""Extracted code under another package's name."""

import importlib
import sys
from pathlib import Path

import pytest

from slipway.code.renaming import under_package

SOURCES = {
    "project.py": (
        "from __future__ import annotations\nimport math\nimport helpers\nimport tools.numbers\nimport tools.words as words\n"
        "from tools.numbers import twice\nfrom helpers import once as again\n\n"
        "def answer(x: int) -> str:\n    import tools.words\n"
        "    return words.say(twice(x) + helpers.once(x) + again(0) + int(math.floor(0.5)) + tools.numbers.twice(0))\n"
    ),
    "helpers.py": "def once(x):\n    return x\n",
    "tools/numbers.py": "from . import words\n\ndef twice(x):\n    return 2 * x\n",
    "tools/words.py": "def say(x):\n    return f'{x}!'\n",
}


@pytest.fixture
def package(tmp_path: Path) -> object:
    for path, text in under_package(SOURCES, "moved_here").items():
        (tmp_path / path).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / path).write_text(text)
    sys.path.insert(0, str(tmp_path))
    yield importlib.import_module("moved_here.project")
    sys.path.remove(str(tmp_path))
    for name in [name for name in sys.modules if name.partition(".")[0] == "moved_here"]:
        del sys.modules[name]


def test_modules_find_each_other_under_the_new_name(package: object) -> None:
    assert package.answer(5) == "15!"  # type: ignore[attr-defined]
    assert not {"project", "helpers", "tools"} & set(sys.modules)


def test_every_folder_is_a_package() -> None:
    moved = under_package(SOURCES, "moved_here")
    assert {path for path in moved if path.endswith("__init__.py")} == {
        "moved_here/__init__.py",
        "moved_here/tools/__init__.py",
    }
