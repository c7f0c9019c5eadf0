"""One task on a store in a process of its own: `python -m benchmarks.probe TASK STORE [ID]` prints one line of JSON.

imports     nothing but the imports: the memory that every other task starts from
get         open the store and read one vector by its utterance id
statistics  open the store and take the mean of all rows
"""

import json
import sys
import time

from benchmarks.generated import VIEWS
from benchmarks.measure import memory_kb
from reseed.store import EmbeddingStore


def run(task: str, path: str, utterance_id: str = "") -> dict[str, float]:
    """Return the seconds until the store was open, and until the task was done."""
    start_s = time.perf_counter()
    if task == "imports":
        return {"open_s": 0.0, "done_s": 0.0}
    store = EmbeddingStore(path, check=False)
    opened_s = time.perf_counter()
    if task == "get":
        store.get(utterance_id, view=VIEWS[-1]).sum()
    else:
        sum(block_UCVD.sum(axis=(0, 1, 2), dtype=float) for block_UCVD in store.utterance_blocks()) / len(store)
    return {"open_s": opened_s - start_s, "done_s": time.perf_counter() - start_s}


if __name__ == "__main__":
    print(json.dumps({**run(*sys.argv[1:]), "peak_rss_kb": memory_kb()["VmHWM"]}))
