"""Who may, who did, and proof of it: the audit log over the ledger's events.

Permissions are checked where operations are called (`operations/declare.py`); this room answers what happened.
"""
