"""Identifiers that MLflow's clients accept, and names that may become URLs and folders."""

import re

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from slipway.errors import InvalidInput
from slipway.ids import check_name, new_experiment_id, new_id, new_ids, new_model_id, new_run_id


def test_ids_have_the_forms_that_mlflow_clients_accept() -> None:
    assert re.fullmatch(r"[0-9a-f]{32}", new_run_id())
    assert re.fullmatch(r"m-[0-9a-f]{32}", new_model_id())
    assert re.fullmatch(r"[0-9]{18}", new_experiment_id())


def test_ids_are_unique_and_begin_with_their_time() -> None:
    made = [new_id() for _ in range(2000)]
    assert len(set(made)) == len(made)
    times = [id[:12] for id in made]
    assert times == sorted(times)
    assert {id[12] for id in made} == {"7"}


@pytest.mark.parametrize("name", ["a", "flights", "my-model_2.1", "0", "x" * 128])
def test_names_that_fit(name: str) -> None:
    assert check_name(name, "table") == name


@pytest.mark.parametrize(
    "name", ["", "Flights", "a b", "../up", "a/b", "-a", "a-", "a..b", ".", "x" * 129, "naïve", "a\n", "a\x00b"]
)
def test_names_that_do_not_fit(name: str) -> None:
    with pytest.raises(InvalidInput) as refused:
        check_name(name, "table")
    assert repr(name) in refused.value.what
    assert refused.value.field == "name"


@given(st.text(max_size=200))
@settings(deadline=None)
def test_what_is_refused_comes_with_a_name_that_fits(name: str) -> None:
    try:
        check_name(name, "endpoint")
    except InvalidInput as refused:
        proposed = re.fullmatch(r"For example '(.*)'\.", refused.fix)
        assert proposed is not None
        assert check_name(proposed[1], "endpoint") == proposed[1]


def test_ids_of_one_process_grow() -> None:
    made = [new_id() for _ in range(5000)]
    assert made == sorted(set(made))


def test_ids_that_are_made_together_are_ids_among_others() -> None:
    made = [new_id(), *new_ids(1000), new_id(), *new_ids(1), *new_ids(0), new_id()]
    assert len(made) == 1004
    assert made == sorted(set(made))
    assert all(re.fullmatch(r"[0-9a-f]{12}7[0-9a-f]{3}[89ab][0-9a-f]{15}", id) for id in made)
