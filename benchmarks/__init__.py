"""Hot paths beside the raw operation on the same machine in the same run; `python -m benchmarks` writes RESULTS.md.

One file a path, each with `run() -> list[dict]`. A row has `path`, `what` (with its unit), `raw`, `slipway` and `ratio`;
`raw` and `ratio` are None where nothing raw does the same. A goal is `goal_ratio`, or `goal` in the row's unit. What is
to be said about the figures is the module's REMARK.
"""
