"""What values look like: types, request validation, durations, fingerprints, and the encoding that models read.

`annotations`, `durations` and `validation` work without Polars, for declarations and endpoints; `types`, `fingerprints` and
`encoding` work on frames. This room stores nothing and knows no policy. Every stage and `tables` call it.
"""
