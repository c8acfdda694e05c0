"""Data at rest: versions of tables as immutable Parquet parts under a manifest, and the log segments of endpoints.

`catalog` and `resolve` find versions, `staging` and `parts` write files, `scans` reads them, `commits` makes a version
known; `versions`, `upserts`, `alters`, `refs`, `diffs`, `compaction` and `cleaning` are the verbs. `segments` appends and
reads framed logs, `prediction_log` makes frames of them, `log_reader` keeps up with what is added. No checks and no policy:
`data/` decides what may become a version. Stages, flows and doors call it; `catalog` and `segments` work without Polars.
"""
