"""Audio in: decoding, the manifest of recordings, and the views rendered from them."""
