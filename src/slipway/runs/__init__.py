"""Runs that people start by hand: `with sw.run("baseline") as run: ...`, and looking runs up again.

Owns the context a script or notebook logs through, experiments, comparing, and finding runs whose process died. The
writing itself is `ledger/run_log.py`, which pipelines share; models are logged by a function that a flow passes in.
Called by flows, doors and the controller.
"""
