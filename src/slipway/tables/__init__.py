"""Data at rest: versions of tables as immutable Parquet parts under a manifest, and the log segments of endpoints.

`catalog` finds versions, `parts` writes and scans files, `versions` reads and commits; `segments` appends and reads
framed logs, `prediction_log` makes frames of them, `log_reader` keeps up with what is added. No checks and no policy:
`data/` decides what may become a version. Stages, flows and doors call it; `catalog` and `segments` work without Polars.
"""
