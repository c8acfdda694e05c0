"""A lock on a named target: what has a wheel there, what has not, and what nobody can tell without asking."""

import zipfile
from pathlib import Path

import msgspec
import pytest
from small_desk import FIRST, NAME, Desk

import slipway as sw
from slipway.backends.uv_environments import UvEnvironments
from slipway.flows.evidence import collect
from slipway.flows.target import check_target
from slipway.gates.judge import judge
from slipway.models import registry
from slipway.records.gates import Outcome
from slipway.records.locks import LockedPackage

ARM, INTEL = "aarch64-unknown-linux-gnu", "x86_64-unknown-linux-gnu"


@pytest.fixture
def wheels(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder of wheels that uv looks into, and a cache that is empty."""
    folder = tmp_path / "wheels"
    folder.mkdir()
    write(folder, "plain", "py3-none-any")
    write(folder, "native", "cp311-cp311-manylinux_2_17_x86_64")
    monkeypatch.setenv("UV_FIND_LINKS", str(folder))
    monkeypatch.setenv("UV_CACHE_DIR", str(tmp_path / "cache"))
    return folder


def write(folder: Path, name: str, tag: str) -> None:
    with zipfile.ZipFile(folder / f"{name}-1.0-{tag}.whl", "w") as wheel:
        about = f"{name}-1.0.dist-info"
        wheel.writestr(f"{about}/METADATA", f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\n")
        wheel.writestr(f"{about}/WHEEL", f"Wheel-Version: 1.0\nGenerator: test\nRoot-Is-Purelib: false\nTag: {tag}\n")
        wheel.writestr(f"{about}/RECORD", "")


def unresolved(tmp_path: Path, names: str, platform: str, python: str = "3.11") -> tuple[str, bool]:
    packages = [LockedPackage(name=name, version="1.0") for name in names.split()]
    return UvEnvironments(tmp_path / "environments").unresolved(packages, platform, python)


@pytest.mark.parametrize(
    ("names", "platform", "python"),
    [("plain", ARM, "3.11"), ("plain native", INTEL, "3.11"), ("plain native", INTEL, "3.11.4")],
)
def test_what_has_a_wheel_for_the_target_resolves(
    wheels: Path, tmp_path: Path, names: str, platform: str, python: str
) -> None:
    assert unresolved(tmp_path, names, platform, python) == ("", False)


@pytest.mark.parametrize(("platform", "python"), [(ARM, "3.11"), (INTEL, "3.12")])
def test_what_has_none_is_named(
    wheels: Path, tmp_path: Path, platform: str, python: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("UV_NO_INDEX", "1")
    said, is_unknown = unresolved(tmp_path, "plain native", platform, python)
    assert "native" in said
    assert not is_unknown


def test_what_is_nowhere_on_this_machine_cannot_be_told(wheels: Path, tmp_path: Path) -> None:
    said, is_unknown = unresolved(tmp_path, "plain elsewhere-only", INTEL)
    assert "elsewhere-only" in said
    assert is_unknown


def judged(desk: Desk, lock: tuple[str, ...], **target: str) -> Outcome:
    version = desk.version(FIRST)
    bundle = registry.bundle_of(desk.workspace, version)
    assert bundle.environment is not None
    environment = msgspec.structs.replace(bundle.environment, lock=lock, imports="", python="3.11.7")
    gate = sw.Gate(sw.environment_resolves(**target)).spec
    found = collect(desk.workspace, version, msgspec.structs.replace(bundle, environment=environment), gate)
    at = desk.workspace.clock.now()
    return judge(gate, found, [], subject=version.bundle, at=at, champion_known=False, model=NAME)[0]


def test_a_gate_asks_for_a_target(desk: Desk, wheels: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    lock = ("plain==1.0", "native==1.0")
    passed = judged(desk, lock, platform=INTEL)
    assert (passed.result, passed.found) == ("passed", "2 distributions agree")
    another = judged(desk, lock, platform=INTEL, python="3.12")
    assert another.result == "refused"
    assert "Python 3.11.7 in the lock, 3.12 on the target" in another.found
    assert judged(desk, (*lock, "elsewhere-only==1.0"), platform=INTEL).result == "cannot tell"
    monkeypatch.setenv("UV_NO_INDEX", "1")
    assert "native" in judged(desk, lock, platform=ARM).found


def test_a_version_is_asked_for_a_platform_and_the_first_package_without_a_wheel_is_named(
    desk: Desk, wheels: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("UV_NO_INDEX", "1")
    version = desk.version(FIRST)
    bundle = registry.bundle_of(desk.workspace, version)
    write(wheels, "zebra", "cp311-cp311-manylinux_2_17_x86_64")
    for number in range(9):
        write(wheels, f"plain{number}", "py3-none-any")
    names = [f"plain{number}" for number in range(9)]
    lock = tuple(f"{name}==1.0" for name in (*names[:4], "native", *names[4:], "zebra"))
    assert bundle.environment is not None
    environment = msgspec.structs.replace(bundle.environment, lock=lock, imports="", python="3.11.7")
    locked = msgspec.structs.replace(bundle, environment=environment)
    here = check_target(desk.workspace, version, locked, "linux/amd64")
    assert (here.holds, here.checked, here.python) == (True, 11, "3.11")
    there = check_target(desk.workspace, version, locked, "linux/arm64")
    assert not there.holds
    assert there.faults[0].startswith("native 1.0 has no wheel there: ")


def test_without_uv_it_cannot_be_told(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    from slipway.backends import uv_environments
    from slipway.errors import MissingExtra

    def none() -> str:
        raise MissingExtra("uv is not installed.", fix="Install it: pip install 'slipway[envs]'")

    monkeypatch.setattr(uv_environments, "_uv", none)
    assert judged(desk, ("plain==1.0",), platform=INTEL).result == "cannot tell"
