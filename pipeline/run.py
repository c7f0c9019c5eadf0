"""Execute a run: write its resolved configuration, take its lock, and hand the DAG to Snakemake."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import nullcontext
from pathlib import Path

from reseed.pipeline import layout
from reseed.pipeline.changes import changes
from reseed.pipeline.config import RunConfig
from reseed.pipeline.ended import why_it_stopped
from reseed.pipeline.loading import dump, load_config
from reseed.pipeline.plan import Plan
from reseed.pipeline.preflight import preflight
from reseed.pipeline.profiles import Given, Profile
from reseed.pipeline.record import at_work
from reseed.pipeline.results import kept_results, settings_of_results
from reseed.pipeline.slurm_check import described, for_slurm
from reseed.pipeline.until import outputs_of, steps_to_do
from reseed.pipeline.warm import Server, warm
from reseed.stages.audio.shared import read_shared
from reseed.stages.common.device import gpu_count, resolved
from reseed.stages.common.terminal import log
from reseed.stages.reporting.results.files import RunFiles
from reseed.store import ConfigError, ReseedError, Terminated
from reseed.store.atomic import make_directory, write_text
from reseed.store.errors import ended_by
from reseed.store.share import check_linkable


def run(
    config: RunConfig,
    *,
    folder: Path,
    cores: int | None,
    profile: str = "local",
    dry_run: bool = False,
    until: Sequence[str] = (),
    extra: Sequence[str] = (),
) -> None:
    """Bring the run in `folder` up to date with `config`; what is up to date already is left alone.

    Args:
        cores: those of this machine to use (None: all), or, where jobs are sent elsewhere, the most of one job (None:
            what the profile says).
        profile: a Snakemake profile: a name under configs/profiles, or a path.
        until: rules after which to stop; none: all is done.
        extra: further arguments for Snakemake.

    Raises:
        ConfigError: a section of an enhancer or backbone is wrong, something that the run needs is missing or will not
            suffice, or it has no rule to stop after; nothing is started then.
        ReseedError: the run is locked by another process, or a step failed.
    """
    settings = layout.DRY_CONFIG if dry_run else layout.CONFIG
    chosen = Profile.named(profile)
    command = _snakemake(folder, settings, chosen, cores)
    _check_ours(folder)
    for warning in preflight(config, folder, is_local=profile == "local"):
        log(f"WARNING: {warning}")
    if chosen.executor == "slurm" and not dry_run:
        command += for_slurm(config, folder, chosen, Given(cores, extra))
    folder.mkdir(parents=True, exist_ok=True)
    if config.extract.stores is not None and not dry_run:
        make_directory(config.extract.stores)
        check_linkable(config.extract.stores, folder)
    with warm(not (dry_run or chosen.sends)) as server, at_work(folder, recorded=not dry_run) as lock:
        if profile == "local":  # elsewhere the jobs run on other machines, which have what the configuration says
            config = config.model_copy(update={"device": resolved(config.device)})
            jobs_on_gpus = gpu_count() if config.device == "cuda" else 1  # one on each
            command.append(f"--resources=gpu={jobs_on_gpus}")  # as two words it would take targets along
        _say_changes(folder, config)
        with nullcontext() if dry_run else kept_results(folder):
            _write_if_changed(folder / settings, dump(config))
            wanted = outputs_of(until, command, _environment()) if until else []
            command += [*(["--dry-run"] if dry_run else []), *extra, *(["--", *wanted] if wanted else [])]
            started_ns = time.time_ns()
            status = _execute(command, lock, server)
        (folder / layout.DRY_CONFIG).unlink(missing_ok=True)
        if status != 0:
            raise ReseedError(f"the run stopped: {why_it_stopped(folder, started_ns)}")
        is_whole = not (dry_run or until or extra)
        if is_whole and settings_of_results(folder):  # all is up to date: what changed is of no effect
            _write_if_changed(folder / layout.RESULTS_CONFIG, dump(config))


def check(
    config: RunConfig, *, folder: Path, cores: int | None, profile: str, extra: Sequence[str] = ()
) -> Iterator[str]:
    """Yield what a Slurm cluster has and what `run` would ask of it, a line each; nothing is sent.

    Raises:
        ConfigError: as of `run`; the profile is not one of Slurm, or nothing there is large enough.
    """
    chosen = Profile.named(profile)
    if chosen.executor != "slurm":
        raise ConfigError(f"--check asks a Slurm cluster, and the profile {profile} is of none; give --profile slurm")
    _check_ours(folder)
    for warning in preflight(config, folder, is_local=False):
        log(f"WARNING: {warning}")
    folder.mkdir(parents=True, exist_ok=True)
    with at_work(folder, recorded=False):
        _write_if_changed(folder / layout.DRY_CONFIG, dump(config))
        steps = steps_to_do(_snakemake(folder, layout.DRY_CONFIG, chosen, cores), _environment())
        (folder / layout.DRY_CONFIG).unlink()
    yield from described(config, chosen, Given(cores, extra), steps)


def _check_ours(folder: Path) -> None:
    """Refuse a folder whose config.yaml is of something else: no run has been there, and it is none of a run."""
    path = folder / layout.CONFIG
    if path.exists() and not any((folder / mark).exists() for mark in (layout.LOCK, ".snakemake")):
        try:
            load_config(path)
        except ConfigError:
            raise ConfigError(
                f"{path} is not the configuration of a run and is not replaced; choose another name or --runs"
            ) from None


def _say_changes(folder: Path, config: RunConfig) -> None:
    """Say which settings are others than those of the results that are there, or of the last start."""
    results = settings_of_results(folder)
    path = results or folder / layout.CONFIG
    if not path.is_file():
        return
    try:
        found = changes(load_config(path, as_written=True), config)
    except ConfigError as error:
        log(f"reseed: which settings differ from the last run is not known: {str(error).splitlines()[0]}")
        return
    if found:
        log(f"reseed: {folder} {'has results of' if results else 'was last started with'} other settings:")
    for line in found:
        log(f"  {line}")


def files_of(folder: Path) -> RunFiles:
    """Return what a report needs of a finished run.

    Raises:
        ConfigError: no run, or one that is not finished; names the file that is missing.
    """
    layout.check_run(folder)
    plan = Plan(load_config(folder / layout.CONFIG, as_written=True))
    files = RunFiles(
        name=folder.resolve().name,
        scores=[
            *(folder / scored.scores for scored in plan.scored),
            *(folder / layout.calibrated(name) for name in plan.calibrated),
        ],
        identification=[folder / scored.identification for scored in plan.scored],
        stores=[folder / scored.store for scored in plan.scored],
        utterances=folder / layout.manifest(plan.evaluation, plan.kind),
        backbone_pairs=plan.backbone_pairs,
        frontends=[folder / layout.frontend(name) for name in plan.run.frontends],
        leakage=leakage if (leakage := folder / layout.LEAKAGE).exists() else None,
    )
    for needed in (*files.scores, *files.identification, *files.stores, files.utterances):
        if not needed.exists():
            raise ConfigError(f"the run {folder} is not finished: {needed} is missing; finish it with `reseed run`")
    return files


def shared_by(folder: Path) -> list[str]:
    """Return what training and evaluation of a run share, as far as that is known."""
    path = folder / layout.LEAKAGE
    return [str(each) for each in read_shared(path)] if path.exists() else []


def _execute(command: Sequence[str], lock: int, server: Server | None) -> int:
    """Run Snakemake to its end, or until this process is interrupted or terminated; returns its exit status.

    The lock travels to Snakemake, so that it is held until the last of the two is gone, however they end, and so does
    what the server of steps lives by.
    """
    held = [lock, server.life] if server else [lock]
    environment = _environment(server.commands if server else None)
    process = subprocess.Popen(command, env=environment, pass_fds=held, preexec_fn=_interruptible)
    try:
        return process.wait()
    except KeyboardInterrupt as error:
        try:  # Ctrl-C in a terminal has reached Snakemake too; a signal to this process alone has not
            process.wait(timeout=0 if isinstance(error, Terminated) else 5)
        except subprocess.TimeoutExpired:
            process.send_signal(signal.SIGINT)
            process.wait()
        raise type(error)(f"{ended_by(error)[1]}; run again to go on where it stopped") from None


def _interruptible() -> None:
    """Let Snakemake and its jobs be interrupted: what a shell script starts in the background ignores that."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)


def available_cores() -> int:
    """Return how many cores this process may use."""
    return len(os.sched_getaffinity(0))


def _snakemake(folder: Path, settings: Path, profile: Profile, cores: int | None) -> list[str]:
    if not (profile.sends and "cores" in profile.settings):
        cores = cores or available_cores()
    return [
        *(sys.executable, "-m", "reseed.pipeline.plugins" if profile.sends else "snakemake"),
        *("--snakefile", str(layout.project_file("Snakefile"))),
        *("--directory", str(folder)),
        *("--workflow-profile", str(profile.path)),
        *("--config", f"settings={settings}"),
        *(("--cores", str(cores)) if cores else ()),  # of a job that is sent: what the profile says
        "--nolock",  # Snakemake's own lock survives a kill; the run's lock does not
    ]


def _environment(commands: Path | None = None) -> dict[str, str]:
    """Let rules find `reseed`, in a folder or this environment. Snakemake gives each job the threads of its rule."""
    first = [str(commands)] if commands else []
    path = os.pathsep.join([*first, str(Path(sys.executable).parent), os.environ.get("PATH", "")])
    return {**os.environ, "PATH": path, "PYTHONUNBUFFERED": "1"}


def _write_if_changed(path: Path, text: str) -> None:
    if not path.exists() or path.read_text(encoding="utf-8") != text:
        write_text(path, text)
