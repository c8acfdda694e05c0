"""Steps and pipelines: plain functions whose calls are recorded, cached soundly and explained.

`declare` makes steps and pipelines (light), `engine` runs one, `cache` finds stored results, `keys` says what a result
depends on, `reasons` and `why` tell in words why something ran again, `remote` hands a step to another process by
files, `snapshot` keeps a project's code, `staging` hands a whole pipeline to another process, `params` reads its
parameters, `hidden/` records what a step reads by itself. Tables, models and endpoints are other rooms: they take part through
`ledger/step_scope.py`. Called by flows and hosts.
"""
