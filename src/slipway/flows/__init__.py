"""One file a verb that crosses stages; called by people, by doors and, later, by the loop.

Flows collect what one stage made and hand it to the next: a run's model becomes a bundle, a bundle with its evidence
goes before its gate, what passes becomes a revision. The declaration that names several stages, `Endpoint`, lives here.
"""
