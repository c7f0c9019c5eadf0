"""One file per scorer: a way of turning the two sides of a trial into a score."""
