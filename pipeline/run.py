"""Execute a run: write its resolved configuration, take its lock, and hand the DAG to Snakemake."""

from collections.abc import Iterator, Sequence
from contextlib import nullcontext
from pathlib import Path

from reseed.pipeline import layout
from reseed.pipeline.changes import changes
from reseed.pipeline.config import RunConfig
from reseed.pipeline.ended import why_it_stopped
from reseed.pipeline.loading import dump, load_config
from reseed.pipeline.outcome import Before, outcome
from reseed.pipeline.plan import Plan
from reseed.pipeline.preflight import preflight
from reseed.pipeline.process import command_of, environment, follow, only_asks
from reseed.pipeline.profiles import Given, Profile
from reseed.pipeline.record import at_work
from reseed.pipeline.results import kept_results, settings_of_results
from reseed.pipeline.slurm_check import described, for_slurm
from reseed.pipeline.until import outputs_of, steps_to_do
from reseed.pipeline.warm import warm
from reseed.stages.audio.shared import read_shared
from reseed.stages.common.device import gpu_count, resolved
from reseed.stages.common.terminal import log
from reseed.stages.reporting.results.files import RunFiles
from reseed.store import ConfigError, ReseedError
from reseed.store.atomic import make_directory, write_text
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
    verbose: bool = False,
) -> list[str]:
    """Bring the run in `folder` up to date with `config`; what is up to date already is left alone.

    Args:
        cores: those of this machine to use (None: all), or, where jobs are sent elsewhere, the most of one job (None:
            what the profile says).
        profile: a Snakemake profile: a name under configs/profiles, or a path.
        until: rules after which to stop; none: all is done.
        extra: further arguments for Snakemake.
        verbose: show Snakemake's own messages.

    Returns:
        What has come of it, a sentence each; nothing of a dry run.

    Raises:
        ConfigError: a section of an enhancer or backbone is wrong, something that the run needs is missing or will not
            suffice, or it has no rule to stop after; nothing is started then.
        ReseedError: the run is locked by another process, or a step failed.
    """
    settings, is_asked = layout.DRY_CONFIG if dry_run else layout.CONFIG, dry_run or only_asks(extra)
    chosen = Profile.named(profile)
    command = command_of(folder, settings, chosen, cores)
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
            config, gpus = _on_this_machine(config)
            command.append(f"--resources=gpu={gpus}")  # as two words it would take targets along
        _say_changes(folder, config)
        with nullcontext() if dry_run else kept_results(folder):
            _write_if_changed(folder / settings, dump(config))
            wanted = outputs_of(until, command, environment()) if until else []
            command += [*(["--dry-run"] if dry_run else []), *extra, *(["--", *wanted] if wanted else [])]
            before = Before.of(config, folder)
            status, shown = follow(command, folder, lock, server, as_it_is=verbose or is_asked)
        (folder / layout.DRY_CONFIG).unlink(missing_ok=True)
        if status != 0:
            raise ReseedError(f"the run stopped: {why_it_stopped(folder, int(before.begun_s * 1e9))}")
        is_whole = not (dry_run or until or extra)
        if is_whole and settings_of_results(folder):  # all is up to date: what changed is of no effect
            _write_if_changed(folder / layout.RESULTS_CONFIG, dump(config))
    return [] if is_asked else list(outcome(config, folder, before, shown.progress))


def _on_this_machine(config: RunConfig) -> tuple[RunConfig, int]:
    """Return the configuration with the device that this machine has, and how many steps may have a GPU, one each."""
    config = config.model_copy(update={"device": resolved(config.device)})
    return config, gpu_count() if config.device == "cuda" else 1


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
        steps = steps_to_do(command_of(folder, layout.DRY_CONFIG, chosen, cores), environment())
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


def _write_if_changed(path: Path, text: str) -> None:
    if not path.exists() or path.read_text(encoding="utf-8") != text:
        write_text(path, text)
