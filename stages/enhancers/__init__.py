"""Enhancers: maps from an embedding to a better one, made purely from cached vectors; how they are kept."""
