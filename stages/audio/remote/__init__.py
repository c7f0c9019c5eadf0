"""Files and folders that are not on this machine, by whatever fsspec opens."""
