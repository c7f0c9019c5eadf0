"""One background thread that works ahead of its consumer, and never outlives it."""

import threading
import weakref
from collections.abc import Iterator
from queue import SimpleQueue
from typing import TypeVar

T = TypeVar("T")
_Results = SimpleQueue[tuple[T | None, BaseException | None]]


class Prefetch(Iterator[T]):
    """An iterator whose items are made by a background thread, at most `depth` of them ahead.

    What the thread raises is raised here, in place of the item. The thread ends when the source does, on `close()`,
    when the iterator is garbage-collected, and before the interpreter exits; each waits for the item in the making.

    Args:
        source: consumed by the thread alone.
        depth: items made ahead, 1 or more.
    """

    def __init__(self, source: Iterator[T], depth: int) -> None:
        self._results: _Results[T] = SimpleQueue()
        self._slots = threading.Semaphore(depth)
        stop = threading.Event()
        # The thread must not hold `self`, which could then never be collected; daemon, because the interpreter waits
        # for other threads before it runs finalisers.
        thread = threading.Thread(
            target=_produce, args=(source, self._results, self._slots, stop), name="reseed-prefetch", daemon=True
        )
        thread.start()
        self._end = weakref.finalize(self, _end, thread, self._slots, stop)

    def __next__(self) -> T:
        if not self._end.alive:
            raise StopIteration
        item, error = self._results.get()
        if error is not None:
            self.close()
            raise error
        self._slots.release()
        return item  # type: ignore[return-value]  # None only beside an error

    def close(self) -> None:
        """End the thread; what it made and was not asked for is dropped."""
        self._end()


def _produce(source: Iterator[T], results: _Results[T], slots: threading.Semaphore, stop: threading.Event) -> None:
    while True:
        slots.acquire()
        if stop.is_set():
            return
        try:
            results.put((next(source), None))
        except BaseException as error:  # the end of the source, StopIteration, travels like any other
            results.put((None, error))
            return


def _end(thread: threading.Thread, slots: threading.Semaphore, stop: threading.Event) -> None:
    stop.set()
    slots.release()
    if thread is not threading.current_thread():  # a collection that the thread itself set off may end up here
        thread.join()
