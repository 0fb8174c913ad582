"""Traces of GPU programs: one model, readers for every format, exact analyses on integer nanoseconds."""
