"""What stages need from the world, as small Protocols; one file a port.

A port's docstrings carry the obligations (threads, atomicity, idempotence, ownership) that its suite in `conformance/`
checks on every backend.
"""
