"""Holds no ModelNew."""
