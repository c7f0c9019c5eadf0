"""What scores say: loaded, measured by condition and group, summarised, and put in words. Nothing is drawn here."""
