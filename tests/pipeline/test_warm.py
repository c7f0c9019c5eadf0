"""The server of steps: a command that comes from it is as one that was started by itself."""

import os
import signal
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path

import pytest

from reseed.pipeline import warm
from tests.warm import ask
from tests.warm import server as of_the_suite

# Commands are Python here, and nothing is loaded: what is tried is how they come and go.
SERVE = (
    "from reseed.pipeline.warm import serve; "
    "serve(lambda arguments, prog_name: exec(arguments[0], {{}}), {listener}, {life}, loaded=())"
)


@pytest.fixture(scope="module")
def server():
    started = warm.start(SERVE)
    yield started
    os.close(started.life)
    assert started.process.wait() == 0
    assert not started.commands.exists()


def begun(server: warm.Server, script: str, **options) -> subprocess.Popen:
    """Start a command, and return once it has printed a line."""
    command = [server.commands / "reseed", f"import os, signal, sys, time\nprint(os.getpid(), flush=True)\n{script}"]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, **options)
    process.worker = int(process.stdout.readline())
    return process


def ended(process: subprocess.Popen) -> tuple[int, str, str]:
    """Wait for the end of a command; returns its status and the rest of what it said."""
    with process:
        return process.wait(), process.stdout.read(), process.stderr.read()


def waited_for(process: int) -> None:
    """Wait for the end of a process that is nobody's child here."""
    with suppress(FileNotFoundError, ProcessLookupError):
        while Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[0] != "Z":
            time.sleep(0.01)


def test_a_command_gets_arguments_folder_environment_and_streams_and_says_how_it_ended(server, tmp_path):
    script = "import os, sys; print(input(), os.getcwd(), os.environ['SAID'], sys.argv[2]); sys.exit('no: 3')"
    done = subprocess.run(
        [server.commands / "reseed", script, "two words"],
        cwd=tmp_path,
        env={**os.environ, "SAID": "here"},
        input="read",
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stdout) == (1, f"read {tmp_path} here two words\n")


@pytest.mark.parametrize(
    ("script", "status"),
    [("pass", 0), ("raise SystemExit(7)", 7), ("raise SystemExit('x')", 1), ("1 / 0", 1), ("os.abort()", -6)],
)
def test_a_command_ends_as_one_of_its_own_would(server, script, status):
    found, _, said = ended(begun(server, script))
    assert found == status
    assert ("ZeroDivisionError" in said) is (script == "1 / 0")


def test_what_is_to_be_done_at_the_end_is_done(server):
    script = "import atexit; atexit.register(print, 'in the end'); print('before')"
    assert ended(begun(server, script)) == (0, "before\nin the end\n", "")


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_a_signal_to_the_client_is_one_to_the_command(server, number):
    hears = f"signal.signal({int(number)}, lambda *_: sys.exit(9)); print('hears', flush=True); time.sleep(600)"
    process = begun(server, hears)
    process.stdout.readline()
    process.send_signal(number)
    assert ended(process) == (9, "", "")
    process = begun(server, f"signal.signal({int(number)}, signal.SIG_DFL); print('deaf', flush=True); time.sleep(600)")
    process.stdout.readline()
    process.send_signal(number)
    assert ended(process) == (-number, "", "")


def test_a_client_that_is_killed_takes_its_command_along(server):
    process = begun(server, "time.sleep(600)")
    process.kill()
    assert ended(process) == (-signal.SIGKILL, "", "")
    waited_for(process.worker)
    assert ended(begun(server, "pass")) == (0, "", "")


def test_a_server_that_is_killed_takes_its_commands_along_and_later_ones_need_none():
    server = warm.start(SERVE)
    process = begun(server, "time.sleep(600)")
    server.process.kill()
    status, _, said = ended(process)
    assert (status, "was killed; run again" in said) == (1, True)
    waited_for(process.worker)
    alone = subprocess.run([server.commands / "reseed", "--version"], capture_output=True, text=True, check=False)
    assert alone.stdout.startswith("reseed, version")
    os.close(server.life)
    server.process.wait()


def test_where_no_process_can_be_forked_the_command_is_started_by_itself():
    server = warm.start("import os; os.fork = lambda: os.open('/none', 0); " + SERVE)
    for _ in range(2):
        alone = subprocess.run([server.commands / "reseed", "--version"], capture_output=True, text=True, check=False)
        assert alone.stdout.startswith("reseed, version")
    os.close(server.life)
    assert server.process.wait() == 0


def test_a_server_ends_with_whoever_started_it_however_that_ends():
    script = f"from reseed.pipeline import warm; s = warm.start({SERVE!r}); print(s.process.pid, s.commands)"
    process = subprocess.Popen(
        [sys.executable, "-c", f"{script}; input()"], stdin=subprocess.PIPE, stdout=-1, text=True
    )
    number, folder = process.stdout.readline().split()
    process.kill()
    process.communicate()
    waited_for(int(number))
    assert not Path(folder).exists()


def test_what_is_needed_no_more_before_it_has_loaded_is_not_waited_for(monkeypatch):
    monkeypatch.setattr(warm, "_SERVE", "import time; time.sleep(600)  # {listener} {life}")
    with warm.warm() as server:
        pass
    assert server.process.returncode == -signal.SIGTERM
    assert not server.commands.exists()


def test_no_server_is_started_where_none_is_wanted(monkeypatch):
    with warm.warm(is_wanted=False) as server:
        assert server is None
    monkeypatch.setenv("RESEED_WARM", "0")
    with warm.warm() as server:
        assert server is None


def test_a_job_computes_with_the_cores_that_snakemake_gives_it(server):
    process = begun(
        server,
        "from reseed.stages.common.threads import given_cores; print(given_cores())",
        env={**os.environ, "OMP_NUM_THREADS": "7"},
    )
    assert ended(process) == (0, "7\n", "")


def test_nothing_has_begun_a_thread_or_a_gpu_before_commands_are_forked(tmp_path):
    assert ask("--version", folder=tmp_path)[0] == 0
    number = of_the_suite().process.pid
    assert len(list(Path(f"/proc/{number}/task").iterdir())) == 1
    assert not [path for path in Path(f"/proc/{number}/fd").iterdir() if "nvidia" in str(path.resolve())]
