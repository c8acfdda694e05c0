"""A model format: scorecards, which are points a unit of each input, kept as JSON that a person can read."""

import json

import numpy as np

from slipway.backends import sealed_files  # files beside their digest
from slipway.backends.pandas_frames import build, layout_of  # frames as they were in training
from slipway.errors import InvalidInput


class Scorecard:
    def __init__(self, points, base=0.0):
        self.points, self.base = [float(one) for one in points], float(base)


class ScorecardFormat:
    name = "scorecard"

    def opened(self, estimator):
        if not isinstance(estimator, Scorecard):
            raise InvalidInput(f"{estimator!r} is no Scorecard.", fix="Give a Scorecard(points).")
        return estimator

    def task(self, estimator):
        return "regression"

    def as_kept(self, estimator, x):
        return estimator

    def content(self, estimator):
        return json.dumps([estimator.points, estimator.base]).encode()

    def save(self, estimator, folder, *, trust=()):
        sealed_files.write(folder / "points.json", self.content(estimator))

    def load(self, folder):
        return Scorecard(*json.loads(sealed_files.read(folder / "points.json")))

    def predict(self, estimator, x, task):
        return (np.asarray(x, dtype=float) * estimator.points).sum(axis=1) + estimator.base

    def attributed(self, estimator, x):
        return None  # explanations then ask the model itself

    layout, frame = staticmethod(layout_of), staticmethod(build)
