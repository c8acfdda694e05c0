"""Slipway over HTTP: `api.Client` calls a server's operations, `endpoint.EndpointClient` asks an endpoint.

It needs the declarations and records only; no store, no frames. Called by the command line and by people's programs.
"""
