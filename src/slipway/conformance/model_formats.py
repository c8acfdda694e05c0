"""What every model format must do."""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from slipway.errors import Corrupt, SlipwayError
from slipway.ports.model_format import ModelFormat, Task

__all__ = ["Fitted", "ModelFormatSuite"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Fitted:
    """An estimator for the suite.

    Args:
        estimator: Fitted.
        x: What it was fitted on: a matrix, or a frame.
        rows: The rows of `x` as plain values, missing ones as None.
        task: What it predicts.
    """

    estimator: Any
    x: Any
    rows: Sequence[Sequence[Any]]
    task: Task


class ModelFormatSuite:
    """Subclass it in your tests, and say how a format and estimators are made.

    Attributes:
        content_survives_loading: Whether a loaded estimator has the content of the saved one. A pickle says which
            strings share memory, and that changes with loading.
    """

    content_survives_loading = True

    def make(self) -> ModelFormat:
        """The format."""
        raise NotImplementedError

    def estimators(self) -> list[Fitted]:
        """A few fitted estimators of different kinds; every two of them differ."""
        raise NotImplementedError

    def test_a_loaded_estimator_answers_bit_for_bit(self, tmp_path: Path) -> None:
        """Save, load, ask: no bit may differ."""
        for number, fitted in enumerate(self.estimators()):
            kept = self._as_kept(fitted)
            loaded = self._loaded(kept, tmp_path / str(number))
            before = self.make().predict(kept, fitted.x, fitted.task)
            after = self.make().predict(loaded, fitted.x, fitted.task)
            assert before.dtype == after.dtype == np.float64
            assert before.shape == (len(fitted.x),)
            assert before.tobytes() == after.tobytes()
            # Bringing an estimator into the form that is kept changes no answer, but for the last bits of sums.
            trained = self.make().predict(fitted.estimator, fitted.x, fitted.task)
            np.testing.assert_allclose(before, trained, rtol=1e-12, atol=1e-12)

    def test_saving_twice_writes_the_same_bytes(self, tmp_path: Path) -> None:
        """Bundles are addressed by their content."""
        for number, fitted in enumerate(self.estimators()):
            one, two = self._as_kept(fitted), self._as_kept(fitted)
            loaded = self._loaded(one, tmp_path / f"{number}a")
            self._loaded(two, tmp_path / f"{number}b")
            assert _files(tmp_path / f"{number}a") == _files(tmp_path / f"{number}b")
            if self.content_survives_loading:
                assert self.make().content(loaded) == self.make().content(one)

    def test_different_estimators_differ_in_content(self) -> None:
        """A fingerprint tells estimators apart."""
        contents = [self.make().content(self._as_kept(fitted)) for fitted in self.estimators()]
        assert len(set(contents)) == len(contents)

    def test_it_says_what_is_predicted(self) -> None:
        """The task of each estimator."""
        for fitted in self.estimators():
            assert self.make().task(fitted.estimator) in (fitted.task, None)

    def test_rows_look_to_the_estimator_as_in_training(self) -> None:
        """A frame built of plain values gives the answers of the training frame."""
        for fitted in self.estimators():
            format = self.make()
            layout = format.layout(fitted.x) if hasattr(fitted.x, "columns") else ()
            if layout:
                built = format.frame(layout, fitted.rows)
                assert list(built.columns) == [column.name for column in layout]
                before = format.predict(fitted.estimator, fitted.x, fitted.task)
                after = format.predict(fitted.estimator, built, fitted.task)
                assert before.tobytes() == after.tobytes()
                assert len(format.frame(layout, [])) == 0

    def test_what_answers_are_made_of_is_told_by_row(self) -> None:
        """Parts and base, of numbers, one set a row, whichever rows stand beside it."""
        for fitted in self.estimators():
            format, kept = self.make(), self._as_kept(fitted)
            told = format.attributed(kept, fitted.x)
            if told is None:
                continue
            assert told.parts.dtype == told.base.dtype == np.float64
            assert (len(told.parts), told.parts.ndim, told.base.shape) == (len(fitted.x), 2, (len(fitted.x),))
            alone = format.attributed(kept, fitted.x[:1])
            assert alone is not None
            np.testing.assert_allclose(alone.parts[0], told.parts[0], rtol=1e-6, atol=1e-9)

    def test_many_threads_get_the_same_answers(self, tmp_path: Path) -> None:
        """A loaded estimator is shared by an endpoint's threads."""
        fitted = self.estimators()[0]
        loaded = self._loaded(self._as_kept(fitted), tmp_path / "m")
        format = self.make()
        expected = format.predict(loaded, fitted.x, fitted.task).tobytes()
        with ThreadPoolExecutor(4) as pool:
            answers = list(pool.map(lambda _: format.predict(loaded, fitted.x, fitted.task).tobytes(), range(16)))
        assert set(answers) == {expected}

    def test_damaged_files_are_refused(self, tmp_path: Path) -> None:
        """Cut short, emptied or gone: never another estimator, never another kind of error."""
        fitted = self.estimators()[0]
        self._loaded(self._as_kept(fitted), tmp_path / "m")
        for name, data in _files(tmp_path / "m").items():
            for damaged in (data[: len(data) // 3], b"", None):
                path = tmp_path / "m" / name
                path.unlink() if damaged is None else path.write_bytes(damaged)
                try:
                    self.make().load(tmp_path / "m")
                except SlipwayError as problem:
                    assert isinstance(problem, Corrupt)  # noqa: PT017  # a suite stands without pytest
                else:
                    raise AssertionError(f"{name} was loaded though it was damaged.")
                path.write_bytes(data)

    def _as_kept(self, fitted: Fitted) -> Any:
        return self.make().as_kept(fitted.estimator, fitted.x)

    def _loaded(self, kept: Any, folder: Path) -> Any:
        folder.mkdir(parents=True)
        self.make().save(kept, folder)
        return self.make().load(folder)


def _files(folder: Path) -> dict[str, bytes]:
    found = sorted(path for path in folder.rglob("*") if path.is_file())
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in found}
