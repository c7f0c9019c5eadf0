"""Scores, metrics and intervals: pure functions on arrays. No torch, no pyarrow, no files."""
