"""What a command has used of the machine: time, computing and memory, its processes included."""

import resource
import time
from pathlib import Path

from reseed.store.atomic import write_text

_COLUMNS = ("s", "cpu_s", "max_rss_mb")


def write_usage(path: Path, begun_s: float) -> None:
    """Write what this process has used, as a table of one row: seconds, those of all cores, and the most memory.

    Memory that a step shares with the server it was forked from counts as its own.

    Args:
        begun_s: when the command began, by `time.monotonic`.
    """
    used = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    computed_s = sum(each.ru_utime + each.ru_stime for each in used)
    most_mb = max(each.ru_maxrss for each in used) / 1024
    values = (time.monotonic() - begun_s, computed_s, most_mb)
    write_text(path, "\t".join(_COLUMNS) + "\n" + "\t".join(f"{value:.2f}" for value in values) + "\n")
