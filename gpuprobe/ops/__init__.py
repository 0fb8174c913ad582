"""One file per operation: its shapes, FLOPs, bytes, and what libraries can run."""
