"""Statistics that several stages need: metrics with intervals, calibration, profiles, drift.

Pure functions of NumPy arrays; each formula names its source. No policy: what a figure means for a release or an alert
is decided in `gates/` and `monitoring/`.
"""
