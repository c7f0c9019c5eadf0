"""Trials scored: the table of scorers, an order carried out, and the files of scores."""
