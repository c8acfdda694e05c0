"""What is opened by name."""

import gc
from importlib.util import find_spec

import pytest

from slipway import plugins
from slipway.errors import MissingExtra, NotFound

ROWS = [(port, name) for port, rows in plugins.TABLE.items() for name in rows]


@pytest.mark.parametrize(("port", "name"), ROWS)
def test_every_row_leads_to_a_class(port: str, name: str) -> None:
    module, _, attribute = plugins.TABLE[port][name][0].partition(":")
    assert find_spec(module) is not None, f"{port} {name}: {module} does not exist"
    try:
        found = plugins.load(port, name)
    except MissingExtra as missing:
        pytest.skip(str(missing))
    assert found.__name__ == attribute


def test_names_are_listed_by_preference() -> None:
    assert plugins.names("format")[-1] == "pickle", "what runs any code on loading comes last"


def test_an_unknown_name_is_not_found() -> None:
    with pytest.raises(NotFound, match=r"no ledger called 'sqlit'.*'sqlite'"):
        plugins.load("ledger", "sqlit")


def test_a_missing_distribution_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    row = ("no_such_distribution.module:Class", "Install it: pip install 'slipway[x]'")
    monkeypatch.setitem(plugins.TABLE["ledger"], "new", row)
    with pytest.raises(MissingExtra, match=r"'no_such_distribution'.*pip install"):
        plugins.load("ledger", "new")


def test_a_fault_of_slipway_is_not_called_a_missing_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(plugins.TABLE["ledger"], "new", ("slipway.backends.no_such:Class", "pip install x"))
    with pytest.raises(ModuleNotFoundError):
        plugins.load("ledger", "new")


def test_the_collector_is_as_it_was_after_an_import_whoever_imported_meanwhile() -> None:
    before = gc.get_threshold()
    first, second = plugins.seldom_collected(), plugins.seldom_collected()
    first.__enter__()
    assert gc.get_threshold()[0] > before[0]
    second.__enter__()  # another thread's
    first.__exit__(None, None, None)
    second.__exit__(None, None, None)
    assert gc.get_threshold() == before
    with plugins.seldom_collected():
        gc.set_threshold(1234)  # a library's own
    assert gc.get_threshold()[0] == 1234
    gc.set_threshold(*before)
