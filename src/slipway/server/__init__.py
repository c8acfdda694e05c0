"""The control plane's HTTP: the native API and OpenAPI out of the operations table, and the pages.

Words in, words out: permissions are checked in `operations/declare.py`, facts come from the operations' bodies. The
process around it (socket, signals, sealing) is `hosts/control_plane.py`.
"""
