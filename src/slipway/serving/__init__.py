"""What answers over HTTP: the endpoint's app, its prediction log, the swap of revisions, its worker processes.

`app` answers, `active` is what it answers with, `swap` replaces that without a restart, `prediction_log` writes rows
off the critical path, `counters` are shared by all workers, `worker` runs the app under uvicorn, `supervisor` keeps
the workers alive. It owns no model, feature or storage code: those come as plain functions from `hosts/endpoint.py`,
the only caller. It never opens the ledger.
"""
