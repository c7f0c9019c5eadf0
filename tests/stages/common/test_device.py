import multiprocessing

import pytest

from reseed.stages.common import device
from reseed.store import ConfigError


def _claim(folder, queue, done) -> None:
    queue.put(device.claim(2, folder))
    done.wait()


def test_processes_spread_over_the_gpus_and_free_them_when_they_end(tmp_path):
    context = multiprocessing.get_context("spawn")
    queue, done = context.Queue(), context.Event()
    workers = [context.Process(target=_claim, args=(tmp_path, queue, done)) for _ in range(2)]
    for worker in workers:
        worker.start()
    assert {queue.get(timeout=600) for _ in workers} == {0, 1}
    third = context.Process(target=_claim, args=(tmp_path, queue, done))
    third.start()
    assert queue.get(timeout=600) in (0, 1), "a third process shares"
    done.set()
    for worker in (*workers, third):
        worker.join()
    later = context.Process(target=_claim, args=(tmp_path, queue, done))
    later.start()
    assert queue.get(timeout=600) == 0
    later.join()


def test_a_gpu_that_is_not_there_is_refused(monkeypatch):
    monkeypatch.setattr("torch.cuda.is_available", lambda: False)
    assert device.claimed("auto") == "cpu"
    with pytest.raises(ConfigError, match="device 'cuda:1' was asked for, but this machine has no usable CUDA device"):
        device.claimed("cuda:1")
