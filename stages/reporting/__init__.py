"""Pieces of the report: measurements, summary, tables, plots, page."""
