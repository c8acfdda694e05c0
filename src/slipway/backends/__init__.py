"""One file a technology, each behind one port; opened by name through `slipway.plugins`, imported by nobody else."""
