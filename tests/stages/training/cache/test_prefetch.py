import threading
from itertools import count

import pytest

from reseed.stages.training.cache.prefetch import Prefetch
from tests.stages.training.cache.readers import workers


def test_items_arrive_in_order_and_the_thread_ends_with_them():
    assert list(Prefetch(iter(range(100)), depth=3)) == list(range(100))
    assert workers() == []


def test_no_more_than_depth_items_are_made_ahead():
    made = []
    third = threading.Event()

    def source():
        for item in count():
            made.append(item)
            if len(made) == 3:
                third.set()
            yield item

    ahead = Prefetch(source(), depth=3)
    assert third.wait(600)
    ahead.close()
    assert made == [0, 1, 2]


def test_what_the_source_raises_arrives_after_the_items_before_it():
    def source():
        yield 1
        raise OSError("the disk is gone")

    ahead = Prefetch(source(), depth=5)
    assert next(ahead) == 1
    with pytest.raises(OSError, match="the disk is gone"):
        next(ahead)
    assert list(ahead) == []
    assert workers() == []


def test_a_closed_iterator_is_at_its_end():
    ahead = Prefetch(count(), depth=2)
    next(ahead)
    ahead.close()
    ahead.close()
    assert list(ahead) == []
    assert workers() == []
