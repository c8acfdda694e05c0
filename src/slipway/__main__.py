"""`python -m slipway` is the command line."""

from slipway.cli import main

main()
