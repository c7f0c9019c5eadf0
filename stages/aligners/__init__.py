"""Alignments: two maps that bring the embeddings of two backbones into one space; how they are kept."""
