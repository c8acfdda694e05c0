"""What every channel must do."""

# ruff: noqa: D102  # a test's name is its sentence

from __future__ import annotations

from pathlib import Path

from slipway.errors import Conflict
from slipway.ports.notifier import Message, Notifier

__all__ = ["MESSAGE", "NotifierSuite"]

MESSAGE = Message(
    key="k" * 32,
    subject="[flights] flight-delays: broken feed",
    text="wind is missing in 40% of the rows.\n.\n<b>é</b> & more\n",
    to=("grace@example.org",),
    facts={"cause": "broken feed"},
)


class NotifierSuite:
    """Override `make`, `lose`, `refuse` and `came`; each test has a folder of its own."""

    def make(self, folder: Path) -> Notifier:
        """A channel whose far side takes everything."""
        raise NotImplementedError

    def lose(self) -> bool:
        """Let nobody answer at the far side any more; says whether there is a far side at all."""
        raise NotImplementedError

    def refuse(self) -> bool:
        """Let the far side answer that it will not; says whether it can."""
        raise NotImplementedError

    def came(self) -> list[str]:
        """What the far side has, oldest first."""
        raise NotImplementedError

    def test_a_message_arrives_whole_after_it_was_said_that_it_is_handed_over(self, tmp_path: Path) -> None:
        before: list[int] = []
        outcome = self.make(tmp_path).send(MESSAGE, lambda: before.append(len(self.came())))
        assert (outcome.state, before) == ("taken", [0])
        (text,) = self.came()
        assert "wind is missing in 40% of the rows." in text
        assert "more" in text

    def test_who_may_not_hand_over_sends_nothing(self, tmp_path: Path) -> None:
        def stop() -> None:
            raise Conflict("Another has it.")

        try:
            self.make(tmp_path).send(MESSAGE, stop)
        except Conflict:
            assert self.came() == []
        else:
            raise AssertionError("the error was to be passed on")

    def test_a_far_side_that_is_away_may_take_it_later(self, tmp_path: Path) -> None:
        channel = self.make(tmp_path)
        if self.lose():
            outcome = channel.send(MESSAGE, lambda: None)
            assert outcome.state in ("later", "unsure")
            assert outcome.problem

    def test_a_refusal_is_said_with_what_the_far_side_said(self, tmp_path: Path) -> None:
        channel = self.make(tmp_path)
        if self.refuse():
            outcome = channel.send(MESSAGE, lambda: None)
            assert outcome.state == "refused"
            assert outcome.problem
            assert self.came() == []

    def test_no_problem_shows_a_secret(self, tmp_path: Path) -> None:
        channel = self.make(tmp_path)
        self.lose()
        assert "s3cret" not in channel.send(MESSAGE, lambda: None).problem
