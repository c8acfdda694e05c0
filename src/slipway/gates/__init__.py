"""Gates: what a model must show before it may be deployed, and the verdict on it.

Owns: the declaration (`sw.Gate`, `sw.metric`, ...), the environments' floors, the judging of evidence. Does not own: the
collecting of evidence; a gate reads what a flow measured and never fetches anything. Called by the deploy flow.
"""
