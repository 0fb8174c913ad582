"""Sweeps: which shapes are measured, in which order, written to a journal that survives a kill at any point."""
