"""From recordings to stored vectors, and back: an extraction, its replay, and where a store comes from."""
