"""What serves is the extracted code: the certificate must bite where it lost something."""

import importlib
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import pytest

from slipway.backends.sqlite_online import SqliteOnlineStore
from slipway.errors import Corrupt, InvalidInput
from slipway.features.extracted import extracted_functions, functions_in
from slipway.features.sets import FeatureSet
from slipway.features.skew import certify
from slipway.features.specs import FrameTables, build_spec
from slipway.records.features import FeatureSetSpec, SkewCertificate

FILES = {
    "scales.py": "SCALE = 1.0\nOFFSET = 2.0\n",
    "rebinding.py": "import scales\n\nscales.SCALE = 5.0\n",
    "rates.py": """
import slipway as sw
import rebinding
import scales


@sw.feature
def scaled(distance: int) -> float:
    return distance * scales.SCALE


@sw.feature
def moved(distance: int) -> float:
    from scales import OFFSET

    return distance + OFFSET
""",
}


@pytest.fixture
def rates(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[ModuleType]:
    folder = tmp_path / "project"
    folder.mkdir()
    (folder / "pyproject.toml").write_text("[project]\nname = 'rates'\n")
    for name, text in FILES.items():
        (folder / name).write_text(text)
    monkeypatch.syspath_prepend(folder)
    yield importlib.import_module("rates")
    for name in ("rates", "rebinding", "scales"):
        sys.modules.pop(name, None)


def spec_of(features: FeatureSet) -> FeatureSetSpec:
    return build_spec(features, {"distance": "int"}, FrameTables({}), lambda function: function.__name__)


def certificate(features: FeatureSet, folder: Path) -> SkewCertificate:
    spec, code = spec_of(features), folder / "code"
    code.mkdir()
    serving = extracted_functions(spec, features.functions, code)
    return certify(
        spec, features.functions, lambda name: SqliteOnlineStore(folder / f"{name}.db"), serving=serving, rows=50
    )


def test_a_value_that_another_module_bound_anew_refutes(rates: ModuleType, tmp_path: Path) -> None:
    found = certificate(FeatureSet(rates.scaled), tmp_path)
    assert found.mismatches > 0
    assert found.first[0].startswith("scaled is ")


def test_code_that_lost_nothing_is_equal(rates: ModuleType, tmp_path: Path) -> None:
    assert certificate(FeatureSet(rates.moved), tmp_path).equal
    assert certificate(FeatureSet("distance"), tmp_path / "code").equal


def test_code_that_cannot_be_loaded_is_a_sentence(rates: ModuleType, tmp_path: Path) -> None:
    features = FeatureSet(rates.moved)
    (tmp_path / "code").mkdir()
    (tmp_path / "code" / "rates").mkdir()
    (tmp_path / "code" / "rates" / "__init__.py").write_text("import no_such_module_anywhere\n")
    with pytest.raises(InvalidInput, match="cannot be loaded apart from its project: ModuleNotFoundError"):
        extracted_functions(spec_of(features), features.functions, tmp_path / "code")
    with pytest.raises(Corrupt, match="no function 'moved'"):
        functions_in(spec_of(features), {"rates": ModuleType("rates")})
