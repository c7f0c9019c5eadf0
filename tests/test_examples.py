"""examples/ run as their heads say."""

import http.client
import json
import os
import socket
import subprocess
import sys
from contextlib import closing
from pathlib import Path

import numpy as np
import pytest

from reseed import VectorEnhancer
from reseed.stages.enhancers.table import ENHANCERS
from reseed.stages.train import EnhancerOrder, train
from tests.stages.stores import write_store

EXAMPLES = Path(__file__).resolve().parents[1] / "examples"
_SERVE = """
import socket, sys, uvicorn
sys.path.insert(0, sys.argv[1])
import service
assert "torch" not in sys.modules
uvicorn.Server(uvicorn.Config(service.app, log_level="warning")).run([socket.socket(fileno=int(sys.argv[2]))])
"""


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    folder = tmp_path_factory.mktemp("service")
    store, settings = write_store(folder / "store"), ENHANCERS["vire"].Config()
    train(EnhancerOrder(store=store.path, model=folder / "vire", enhancer="vire", settings=settings, seed=0))
    return folder / "vire"


@pytest.fixture
def ask(model):
    """Ask the service: method and path, and what to send -> status and answer."""
    pytest.importorskip("fastapi")
    pytest.importorskip("uvicorn")
    with socket.create_server(("127.0.0.1", 0)) as listening:
        address, number = listening.getsockname(), listening.fileno()
        command = [sys.executable, "-c", _SERVE, str(EXAMPLES), str(number)]
        service = subprocess.Popen(command, env=os.environ | {"RESEED_MODEL": str(model)}, pass_fds=[number])

    def ask(method, path, given=b""):
        with closing(http.client.HTTPConnection(*address, timeout=60)) as connection:
            connection.request(method, path, given)
            answer = connection.getresponse()
            return answer.status, answer.read()

    yield ask
    service.terminate()
    service.wait()


def test_the_service_enhances_as_the_class_does_without_torch_and_says_what_is_wrong(ask, model):
    enhancer, path = VectorEnhancer.load(model), "/enhance?space=ge2e:aaaaaaaa"
    status, answer = ask("GET", "/model")
    assert status == 200
    assert json.loads(answer) == {"enhancer": "vire", "space": "ge2e:aaaaaaaa", "dim": 16, "dim_out": 16}
    vectors = np.random.default_rng(0).normal(size=(3, 16)).astype("<f4")
    status, answer = ask("POST", path, vectors.tobytes())
    assert status == 200
    np.testing.assert_array_equal(np.frombuffer(answer, "<f4").reshape(3, 16), enhancer.enhance(vectors))
    assert ask("POST", path) == (200, b"")
    status, answer = ask("POST", "/enhance?space=wavlm:bbbbbbbb", vectors.tobytes())
    assert (status, b"takes embeddings of ge2e:aaaaaaaa" in answer) == (409, True)
    for wrong in (vectors.tobytes()[:-4], vectors.tobytes()[:-1], (vectors * np.nan).tobytes()):
        assert ask("POST", path, wrong)[0] == 422
