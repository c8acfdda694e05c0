"""One suite a port: what every backend must pass, shipped so that third parties can run it on theirs.

A suite is a class of tests with one method to override, `make(folder)`, which opens the backend in an empty folder.
"""
