"""Training of speaker backbones on audio: settings, losses, the reader of crops, and what is trained."""
