"""The parts of the embedded demo corpus: voices and what they say, noises, music and rooms."""
