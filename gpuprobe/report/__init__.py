"""Runs and traces as one self-contained HTML page: figures (SVG), tables (jinja2 templates), no network."""
