"""Speaker backbones: frozen networks from waveforms to embeddings; how they are loaded, trained and kept."""
