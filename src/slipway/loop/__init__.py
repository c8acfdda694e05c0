"""The controller: what is due now is retrained and rolled out, one step nearer to what is declared at each look.

It calls flows and is called by hosts; nothing calls back into it. Its whole state is in the ledger.
"""
