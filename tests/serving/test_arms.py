from hypothesis import given
from hypothesis import strategies as st
from serving_desk import CONTRACT

from slipway.records.endpoints import Challenger, Contract, Served, Split
from slipway.serving.arms import arm_of, assigner, propensity, share_of
from slipway.serving.contracts import ContractReader

READER = ContractReader(CONTRACT)
KEYLESS = ContractReader(Contract(fields=CONTRACT.fields))


def challenger(fraction: float, number: int = 2, rollout_id: str = "r1") -> Challenger:
    served = Served(model="delays", number=number, bundle="2" * 64)
    return Challenger(served=served, fraction=fraction, rollout_id=rollout_id)


def arms(fraction: float, number: int = 2, rows: int = 2000, rollout_id: str = "r1") -> list[str]:
    plan = challenger(fraction, number, rollout_id)
    return [arm_of(plan, READER, [f"UA{i}", None, None]) for i in range(rows)]


@given(st.text(), st.text())
def test_a_share_is_below_one_and_always_the_same(salt: str, text: str) -> None:
    share = share_of(salt, text)
    assert 0 <= share < 1
    assert share_of(salt, text) == share == share_of(salt, text.encode())


def test_a_share_is_the_same_in_every_release() -> None:
    assert share_of("r1", "UA1") == 0.8534943231096013


def test_shares_spread_evenly() -> None:
    tenths = [0] * 10
    for i in range(20_000):
        tenths[int(share_of("r1", f"UA{i}") * 10)] += 1
    # Chi square with 9 degrees of freedom: 27.9 is passed once in a thousand, and the texts are fixed.
    assert sum((n - 2000) ** 2 / 2000 for n in tenths) < 27.9


@given(st.floats(0, 1), st.floats(0, 1), st.text(min_size=1, max_size=5))
def test_a_greater_fraction_keeps_every_row_that_the_challenger_had(one: float, other: float, key: str) -> None:
    less, more = (arm_of(challenger(fraction), READER, [key, None, None]) for fraction in sorted((one, other)))
    assert (less, more) != ("challenger", "champion")


def test_the_fractions_are_kept_at_both_ends_and_between() -> None:
    assert set(arms(0.0)) == {"champion"}
    assert set(arms(1.0)) == {"challenger"}
    assert 140 < arms(0.1).count("challenger") < 260


def test_each_challenger_draws_anew() -> None:
    one, other = arms(0.5, 2), arms(0.5, 3)
    assert 850 < sum(a == b for a, b in zip(one, other, strict=True)) < 1150


def test_the_same_challenger_draws_the_same_again() -> None:
    assert arms(0.5, rollout_id="r1") == arms(0.5, rollout_id="another run's")


def test_a_row_goes_by_its_key_alone_and_by_all_its_values_where_it_has_none() -> None:
    plan = challenger(0.5)
    assert len({arm_of(plan, READER, ["UA1", float(i), None]) for i in range(50)}) == 1
    for reader, key in ((KEYLESS, "UA1"), (READER, None), (READER, "")):
        drawn = [arm_of(plan, reader, [key, float(i), None]) for i in range(200)]
        assert drawn == [arm_of(plan, reader, [key, float(i), None]) for i in range(200)]
        assert 60 < drawn.count("challenger") < 140


def test_an_entity_of_two_fields_is_none_only_where_both_are_null() -> None:
    assign = assigner([challenger(0.5)], Split(salt="t", entity=("flight_id", "distance")), READER)
    nameless = [assign([None, None, i]) for i in range(200)]
    assert 60 < nameless.count(0) < 140
    assert len({assign([None, 7.0, i]) for i in range(50)}) == 1


def test_propensities_of_both_arms_add_up() -> None:
    plan = challenger(0.25)
    assert (propensity(plan, "challenger"), propensity(plan, "champion")) == (0.25, 0.75)
