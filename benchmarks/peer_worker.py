"""Read with embedding-reader on request, in an environment of its own: it needs an older pandas than reseed's.

Run as a file, by any Python that has embedding-reader; it imports nothing of this project. One JSON request per line
of stdin, {"do": "open" | "read" | "pairs", "folder": ..., "format": "npy" | "parquet"}; one JSON answer per line.
"""

import json
import sys
from collections.abc import Iterator
from typing import Any

import numpy as np

BATCH_ROWS = 10_000  # the fastest for embedding-reader of 10,000, 65,536 and everything at once


def batches(reader: Any) -> Iterator[Any]:
    return (batch for batch, _ in reader(BATCH_ROWS, show_progress=False))


def total(vectors: Any) -> float:
    """Consume vectors as the other contenders do."""
    return float((vectors @ np.ones(vectors.shape[-1], vectors.dtype)).sum())


def answer(request: dict[str, str], readers: dict[str, Any]) -> float:
    """Return the number of rows, or the sum over all that was asked for."""
    from embedding_reader import EmbeddingReader

    if request["do"] == "open":
        readers[request["folder"]] = EmbeddingReader(request["folder"], file_format=request["format"])
        return float(readers[request["folder"]].count)
    found = batches(readers[request["folder"]])
    if request["do"] == "pairs":
        return sum(total(batch[0::2]) + total(batch[1::2]) for batch in found)
    return sum(total(batch) for batch in found)


def main() -> None:
    import embedding_reader  # noqa: F401  so that a Python without it ends at once

    print(json.dumps("ready"), flush=True)
    readers: dict[str, Any] = {}
    for line in sys.stdin:
        print(json.dumps(answer(json.loads(line), readers)), flush=True)


if __name__ == "__main__":
    main()
