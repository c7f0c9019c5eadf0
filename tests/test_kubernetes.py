"""Steps of a run as pods: the API of Kubernetes is answered here, and what a pod is to run is run by this machine."""

import json
import os
import subprocess
import sys
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from importlib.util import find_spec
from pathlib import Path
from threading import Thread

import pytest
import yaml

from tests.runs import write_toy

pytestmark = pytest.mark.skipif(
    find_spec("snakemake_executor_plugin_kubernetes") is None, reason="the extra kubernetes is not installed"
)
TARGET = "corpus/train/speech/utterances.parquet"


class Kubernetes(BaseHTTPRequestHandler):
    """Answers what the plugin asks; the server has `jobs`, as they were sent, and the `folder` that pods start in."""

    def do_POST(self) -> None:
        sent = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        if self.path.endswith("/jobs"):
            container = sent["spec"]["template"]["spec"]["containers"][0]
            self.server.jobs[sent["metadata"]["name"]] = container
            path = {"PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}"}  # as the image has it
            command = [*container["command"], *container["args"]]
            done = subprocess.run(command, cwd=self.server.folder, env={**os.environ, **path}, check=False)
            self.server.ended[sent["metadata"]["name"]] = {"failed" if done.returncode else "succeeded": 1}
        self._answer(sent)

    def do_GET(self) -> None:
        if self.path.split("?")[0].endswith("/pods"):
            self._answer({"items": []})
        else:
            self._answer({"status": self.server.ended[self.path.split("/")[-2]]})

    def do_DELETE(self) -> None:
        self._answer({})

    def log_message(self, *_: object) -> None: ...

    def _answer(self, found: object) -> None:
        text = json.dumps(found).encode()
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(text)))
        self.end_headers()
        self.wfile.write(text)


@contextmanager
def kubernetes(folder: Path):
    """Start the API; yields the server and the environment that leads there."""
    with ThreadingHTTPServer(("127.0.0.1", 0), Kubernetes) as server:
        server.jobs, server.ended, server.folder = {}, {}, folder / "workdir"
        server.folder.mkdir()
        Thread(target=server.serve_forever, daemon=True).start()
        named = {"name": "here", "cluster": {"server": f"http://127.0.0.1:{server.server_port}"}}
        context = {"name": "here", "context": {"cluster": "here", "user": "me"}}
        settings = {"clusters": [named], "contexts": [context], "users": [{"name": "me", "user": {}}]}
        (folder / "kubeconfig").write_text(yaml.safe_dump({**settings, "current-context": "here"}))
        yield server, folder / "kubeconfig"
        server.shutdown()


def test_steps_run_as_pods_on_the_shared_volume_with_limits_and_gpus(tmp_path, monkeypatch):
    write_toy(tmp_path)
    with kubernetes(tmp_path) as (server, settings):
        monkeypatch.setenv("KUBECONFIG", str(settings))
        wanted = ["--profile", "kubernetes", "--container-image", "lab/reseed", "--seconds-between-status-checks", "1"]
        volume = [f"--kubernetes-persistent-volumes=data:{tmp_path}", "--set-resources=prepare:gpu=1"]
        run = [sys.executable, "-m", "reseed.cli", "run", tmp_path / "toy.yaml", "--runs", tmp_path / "runs"]
        done = subprocess.run([*run, *wanted, *volume, TARGET], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "runs" / "toy" / TARGET).exists()
    assert list(server.folder.iterdir()) == []
    (pod,) = server.jobs.values()
    assert pod["image"] == "lab/reseed"
    assert {mount["mountPath"] for mount in pod["volumeMounts"]} == {"/workdir", str(tmp_path)}
    assert pod["resources"]["limits"]["nvidia.com/gpu"] == "1"
    assert pod["resources"]["limits"]["memory"] == "4000M"
