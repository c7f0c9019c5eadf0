"""What a file of audio holds, told from its sizes and frames; nothing here decodes."""
