"""`slipway doctor` and the machine: each finding with what to do, and only what is broken counts."""

import json
import os
import resource
import socket
import tomllib
from pathlib import Path

import pytest
from click.testing import CliRunner

from slipway.cli import doctor, doctor_machine, main

ROOT = Path(__file__).parents[2]


def found(folder: Path) -> dict[str, doctor_machine.Diagnosis]:
    return {one.about: one for one in doctor_machine.place(folder)}


def test_every_extra_of_the_project_is_looked_for() -> None:
    declared = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["optional-dependencies"]
    assert doctor._EXTRAS.keys() == declared.keys()


def test_a_place_that_does_is_left_as_it_was(tmp_path: Path) -> None:
    looked = found(tmp_path / "not" / "made")
    assert [one.about for one in looked.values() if not one.is_well] == []
    assert list(looked) == ["disk", "writing", "SQLite", "clock"]
    assert list(tmp_path.iterdir()) == []


def test_a_place_that_cannot_be_written_says_whose_it_is(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise PermissionError(13, "Permission denied")

    if os.geteuid():
        tmp_path.chmod(0o500)
    else:  # nothing is refused to root
        monkeypatch.setattr(doctor_machine.tempfile, "TemporaryDirectory", refuse)
    told = found(tmp_path)["writing"]
    assert not told.is_well
    assert "Permission denied" in told.found
    assert f"ls -ld {tmp_path}" in told.remedy


def test_an_old_sqlite_and_a_clock_that_is_apart_are_told(tmp_path: Path) -> None:
    old = doctor_machine._sqlite(tmp_path, (3, 20, 1))
    assert (old.is_well, old.found) == (False, "3.20.1 is too old")
    assert "3.35" in old.remedy
    (tmp_path / "tried.db").mkdir()
    assert "unable to open" in doctor_machine._sqlite(tmp_path).found
    for now, words in ((0.0, "ahead of"), (1e11, "behind")):
        apart = doctor_machine._clock(tmp_path, now)
        assert not apart.is_well
        assert words in apart.found
        assert "NTP" in apart.remedy


def test_a_port_that_is_taken_is_no_fault(tmp_path: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        told = doctor_machine._port(taken.getsockname()[1])
    assert told.is_well
    assert "slipway up --port 0" in told.remedy
    assert "free" in doctor_machine._port(0).found


def test_no_proc_and_few_files_are_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    told = doctor_machine._proc(tmp_path)
    assert not told.is_well
    assert "mount -t proc" in told.remedy
    monkeypatch.setattr(resource, "getrlimit", lambda _: (256, 256))
    few = doctor_machine._files()
    assert (few.is_well, few.remedy) == (False, "Raise it where endpoints are started: ulimit -n 1024")


def test_another_installation_on_the_path_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("one", "two"):
        (tmp_path / name / "bin").mkdir(parents=True)
        (tmp_path / name / "bin" / "slipway").touch(0o755)
    monkeypatch.setenv("PATH", str(tmp_path / "one" / "bin"))
    assert doctor_machine.installation(str(tmp_path / "one")).remedy == ""
    assert "activate" in doctor_machine.installation(str(tmp_path / "two")).remedy
    monkeypatch.setenv("PATH", "")
    assert "export PATH" in doctor_machine.installation(str(tmp_path / "two")).remedy


def test_a_module_that_is_not_there_is_broken_and_a_lone_file_is_led_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("churn.py").write_text("")
    told = CliRunner().invoke(main, ["doctor"])
    assert told.exit_code == 0, told.output
    assert "slipway run churn.py" in told.output
    Path("slipway.toml").write_text('[project]\nname = "p"\nmodule = "churns"\n')
    broken = CliRunner().invoke(main, ["doctor", "--json"])
    assert broken.exit_code == 1
    (one,) = (one for one in json.loads(broken.stdout) if not one["is_well"])
    assert one["about"] == "project"
    assert "churns" in one["found"]
    assert "slipway.toml" in one["remedy"]
