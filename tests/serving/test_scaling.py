"""How many workers: a pure rule, asked as if time went by."""

from slipway.serving.scaling import Scaler


class Days:
    """A scaler that is asked twice a second, under some requests at a time."""

    def __init__(self, least: int, most: int, idle_s: float = 60.0) -> None:
        self.now, self.load_ns = 0.0, 0
        self.scaler = Scaler(least, most, idle_s, self.now)
        self.workers = max(least, 1)

    def pass_by(self, seconds: float, under_way: float) -> list[int]:
        found = []
        for _ in range(int(seconds * 2)):
            self.now += 0.5
            self.load_ns += int(under_way * 0.5e9)
            self.workers = self.scaler.target(
                self.now, load_ns=self.load_ns, waiting=int(under_way > 0), has_workers=self.workers > 0
            )
            found.append(self.workers)
        return found


def test_more_come_at_once_and_go_after_the_idle_time() -> None:
    days = Days(1, 4)
    assert days.pass_by(5, 0.2)[-1] == 1
    assert days.pass_by(2, 7.0)[-1] == 4
    assert set(days.pass_by(55, 0.2)) == {4}
    assert days.pass_by(10, 0.2)[-1] == 1


def test_waves_start_and_stop_nothing() -> None:
    days = Days(1, 8)
    days.pass_by(3, 6.0)
    seen = {count for _ in range(10) for count in days.pass_by(20, 0.5) + days.pass_by(5, 6.0)}
    assert seen == {3}


def test_one_client_at_full_speed_needs_one_worker() -> None:
    assert set(Days(0, 4).pass_by(30, 1.0)) == {1}


def test_it_sleeps_only_where_it_may_and_wakes_for_the_first_request() -> None:
    days = Days(0, 4)
    assert days.pass_by(70, 0.0)[-1] == 0
    assert days.pass_by(0.5, 1.0) == [1]
    assert days.pass_by(59, 0.0)[-1] == 1
    assert days.pass_by(5, 0.0)[-1] == 0
    assert Days(1, 4).pass_by(700, 0.0)[-1] == 1


def test_the_most_is_the_most_and_a_front_that_begins_anew_is_no_load() -> None:
    days = Days(2, 3)
    assert days.pass_by(5, 100.0)[-1] == 3
    days.load_ns = 0
    assert days.pass_by(120, 0.0)[-1] == 2


def test_whether_anything_was_asked_is_told_without_a_look() -> None:
    scaler = Scaler(0, 4, 60.0, 0.0)
    assert not scaler.is_quiet(0.0, 0), "nobody has told of any load yet"
    scaler.target(0.0, load_ns=0, waiting=0, has_workers=False)
    assert scaler.is_quiet(100.0, 0)
    assert not scaler.is_quiet(101.0, 1)
    # The mean is that of the last second, not of all the time that was quiet.
    assert scaler.target(101.0, load_ns=int(6e9), waiting=1, has_workers=False) == 3
