"""Plug-ins that packages install: found by name, listed, and told of in a sentence where they are broken."""

import threading
from datetime import UTC, datetime
from pathlib import Path

import pytest
from click.testing import CliRunner

from plugged_here import Install, installing
from slipway import plugins
from slipway.cli import main
from slipway.errors import BackendError, Conflict, InvalidDeclaration, InvalidInput, MissingExtra, NotFound
from slipway.ports.model_format import ModelFormat
from slipway.ports.notifier import Notifier
from slipway.ports.source import Source
from slipway.schema.plugged import called, called_within, occasion_of, plugged

NOW = datetime(2026, 3, 1, tzinfo=UTC)


@pytest.fixture
def install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Install:
    return installing(tmp_path, monkeypatch)


def test_what_is_installed_is_called_by_its_name_with_its_options(install: Install) -> None:
    install("plugged_one", "def odd(column, by=2): return f'{column} by {by}'", check="odd = {}:odd")
    one = plugged("check", "odd", {"column": "a", "by": 3})
    assert (str(one), called("check", one)) == ("odd(by=3, column='a')", "a by 3")
    assert plugins.Installed("check", "odd", "plugged_one 1.0") in plugins.installed()
    assert plugins.is_known("check", "odd")


@pytest.mark.parametrize(
    ("code", "port", "line", "kind", "words"),
    [
        ("", "check", "x = {}:missing", BackendError, "which cannot be had: .*no attribute 'missing'.*entry point"),
        ("1 / 0", "check", "x = {}:a", BackendError, "cannot be imported: broken_one raised ZeroDivisionError"),
        ("import sys\nsys.exit", "check", "x = {}:sys", BackendError, "is a module, which cannot be called"),
        ("import not_there_at_all", "monitor", "x = {}:a", MissingExtra, "needs the module 'not_there_at_all'"),
        ("def a(: pass", "trigger", "x = {}:a", BackendError, "raised SyntaxError"),
        ("class A: pass", "source", "x = {}:A", BackendError, "has no read.*see docs/plug-ins.md"),
        (
            "class A:\n def send(self): pass", "notifier", "x = {}:A", BackendError,
            "The notifier 'x' of broken_one 1.0 cannot be used: it has no repeats_are_harmless",
        ),
    ],
)  # fmt: skip
def test_a_broken_one_is_told_in_a_sentence_and_shown_by_the_doctor(
    install: Install, tmp_path: Path, code: str, port: str, line: str, kind: type[Exception], words: str
) -> None:
    install("broken_one", code, **{port: line})
    with pytest.raises(kind, match=words) as raised:
        plugins.load(port, "x")
    (shown,) = [one for one in plugins.installed() if one.name == "x"]
    assert shown.problem
    assert shown.problem in str(raised.value)


def test_a_name_that_is_taken_is_told(install: Install, tmp_path: Path) -> None:
    install("first_one", "def a(): pass", check="x = {}:a", source="sql = {}:a")
    install("second_one", "def a(): pass", check="x = {}:a")
    with pytest.raises(Conflict, match=r"'x' is brought by first_one 1.0 and by second_one 1.0.*pip uninstall"):
        plugins.load("check", "x")
    found = {(one.port, one.name): one for one in plugins.installed()}
    assert found["check", "x"].home == "first_one 1.0 and second_one 1.0"
    assert "never used: Slipway has a source 'sql' of its own" in found["source", "sql"].problem
    done = CliRunner().invoke(main, ["doctor", "-C", str(tmp_path)])
    assert done.exit_code == 1
    assert "MISSING  plug-in: check x: The check 'x' is brought by" in done.output


def test_a_package_that_lies_twice_on_the_path_is_one(install: Install, monkeypatch: pytest.MonkeyPatch) -> None:
    install("twice_there", "def a(): pass", check="x = {}:a")
    monkeypatch.syspath_prepend(str(Path(plugins.load("check", "x").__code__.co_filename).parent))
    assert [one.home for one in plugins.installed() if one.name == "x"] == ["twice_there 1.0"]


def test_what_is_no_plugin_is_refused_where_it_is_declared(install: Install) -> None:
    install("plugged_two", "def odd(): pass", check="odd = {}:odd", source="odd = {}:odd")
    with pytest.raises(NotFound, match=r"no check called 'od'\. Did you mean 'odd'\?.*Install the package"):
        plugged("check", "od", {})
    with pytest.raises(InvalidDeclaration, match="'sql' is Slipway's own"):
        plugged("source", "sql", {})
    with pytest.raises(InvalidDeclaration, match=r"column=.*plain values"):
        plugged("check", "odd", {"column": ["a"]})
    with pytest.raises(InvalidDeclaration, match=r"secret in code: url='https://me:\*\*\*@x'.*env:NAME") as raised:
        plugged("source", "odd", {"url": "https://me:hunter2@x"})
    assert "hunter2" not in str(raised.value)


def test_what_a_plugin_raises_is_told_with_whose_it_is(install: Install) -> None:
    code = "from slipway.errors import InvalidInput\n" + (
        "def odd(now, told='x'):\n"
        "    if told == 'words': raise InvalidInput('The drop is closed.')\n"
        "    if told == 'bug': return 1 / 0\n"
        "    return told"
    )
    install("plugged_three", code, trigger="odd = {}:odd")
    assert occasion_of(plugged("trigger", "odd", {}), NOW) == "x"
    assert occasion_of(plugged("trigger", "odd", {"told": ""}), NOW) == ""
    with pytest.raises(InvalidInput, match="The drop is closed"):
        occasion_of(plugged("trigger", "odd", {"told": "words"}), NOW)
    with pytest.raises(BackendError, match=r"raised ZeroDivisionError.*mend it: plugged_three 1.0"):
        occasion_of(plugged("trigger", "odd", {"told": "bug"}), NOW)
    with pytest.raises(BackendError, match=r"unexpected keyword argument 'other'.*Correct its options"):
        occasion_of(plugged("trigger", "odd", {"other": 1}), NOW)
    for name in (1, "a\nb", "a" * 201, " a"):
        with pytest.raises(BackendError, match="as the name of an occasion"):
            occasion_of(plugged("trigger", "odd", {"told": name}), NOW)


def test_one_that_never_comes_back_is_waited_for_once(install: Install) -> None:
    code = "import threading\ngate, calls = threading.Event(), []\ndef slow(now):\n calls.append(now)\n gate.wait()\n return 'x'"
    install("plugged_four", code, trigger="slow = {}:slow")
    one = plugged("trigger", "slow", {})
    known = plugins.load("trigger", "slow").__globals__
    with pytest.raises(BackendError, match=r"has not come back within 0.05 seconds.*time-out.*plugged_four 1.0"):
        called_within(0.05, "trigger", one, NOW)
    with pytest.raises(BackendError, match="has not come back"):
        called_within(60, "trigger", one, NOW)
    assert known["calls"] == [NOW]
    known["gate"].set()
    for thread in threading.enumerate():
        if thread.name == "plug-in slow":
            thread.join()
    assert called_within(60, "trigger", one, NOW) == "x"


@pytest.mark.parametrize(("port", "protocol"), [("notifier", Notifier), ("source", Source), ("format", ModelFormat)])
def test_what_a_class_must_have_is_what_its_port_says(port: str, protocol: type) -> None:
    declared = {name for name in (*vars(protocol), *protocol.__annotations__) if not name.startswith("_")}
    assert set(plugins.MEMBERS[port]) == declared
