"""What every stage knows of the ledger: typed records over the store's few verbs.

`entries` (put, get, find), `events` (record, seal), `lineage` (link, trace), `versions` (numbers and references).
No stage's name and no policy in here; the database is reached through the port only.
"""
