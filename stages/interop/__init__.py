"""Formats in which embeddings leave and enter."""
