"""The trained model: what it takes, how good it is, and the signed bundle in which it is released.

Owns: `sw.inputs`, `sw.Model`, `sw.threshold`, `sw.evaluate`, bundles (pack, unpack, load), the registry's versions and
aliases. Does not own: features, gates, serving over HTTP; it takes reduced feature code as text from its caller.
Called by pipelines' steps (the user's code), by flows, and by the endpoint's host (`bundle.load` only).
"""
