"""Nearest neighbours among the utterances of a store, exactly or by an index."""
