"""What a run asks of a Slurm cluster, and how it has its answers: decided by what the cluster says of itself."""

from collections.abc import Iterator, Mapping
from pathlib import Path

from reseed.pipeline import layout
from reseed.pipeline.config import RunConfig
from reseed.pipeline.profiles import Given, Profile, Request
from reseed.pipeline.slurm import Cluster, ask
from reseed.stages.common.terminal import log
from reseed.store import ConfigError

_ON_GPUS = ("extract", "train", "train_backbone", "train_frontend")


def for_slurm(config: RunConfig, folder: Path, profile: Profile, given: Given) -> list[str]:
    """Return the options of Snakemake that depend on the cluster; warns of nodes that are too small.

    Raises:
        ConfigError: Slurm is not here, or does not answer.
    """
    cluster = ask()
    log(f"reseed: {'; '.join(cluster.lines())}".replace("  ", ""))
    for problem in cluster.too_small(requests(config, profile, given), given.partition):
        log(f"WARNING: {problem}")
    return [
        f"--slurm-status-command={cluster.status_command}",
        f"--slurm-logdir={folder.resolve() / layout.SLURM_LOGS}",
        *(["--slurm-array-jobs=extract"] if config.extract.jobs > 1 else []),
    ]


def requests(config: RunConfig, profile: Profile, given: Given) -> dict[str, Request]:
    """Return what the largest steps of a run ask for, by rule."""
    wanted = {
        "extract": True,
        "train_backbone": bool(config.backbones),
        "train_frontend": bool(config.frontends),
        "train": bool(config.train),
    }
    on_gpu = int(config.device.startswith("cuda"))
    return {
        rule: profile.request(rule, given, on_gpu if rule in _ON_GPUS else 0) for rule, is_in in wanted.items() if is_in
    }


def described(config: RunConfig, profile: Profile, given: Given, steps: Mapping[str, int]) -> Iterator[str]:
    """Yield what the cluster has and what will be asked of it, a line each.

    Args:
        steps: how many of each rule are to be done.

    Raises:
        ConfigError: Slurm does not answer, or no node is large enough; says what is.
    """
    cluster = ask()
    yield from cluster.lines()
    asked = requests(config, profile, given)
    yield from _sent(steps, asked, _groups(profile), config.extract.jobs)
    problems = list(cluster.too_small(asked, given.partition)) + list(_unknown_partition(cluster, given.partition))
    if problems:
        raise ConfigError(*problems)


def _sent(
    steps: Mapping[str, int], asked: Mapping[str, Request], groups: dict[str, str], extract_jobs: int
) -> Iterator[str]:
    """Yield how steps are put into jobs; see the profile and pipeline/rules/extraction.smk."""
    yield f"{sum(steps.values())} steps are to be done:"
    shared = groups | ({"extract": "extraction", "seal": "extraction"} if extract_jobs == 1 else {})
    for name in dict.fromkeys(shared.get(rule, rule) for rule in steps):
        rules = [rule for rule in steps if shared.get(rule, rule) == name]
        listed = ", ".join(f"{steps[rule]} x {rule}" for rule in rules)
        how = "share jobs" if rules != [name] else "sent as arrays" if name == "extract" else "a job each"
        sizes = [f"{rule} asks for {asked[rule]}" for rule in rules if rule in asked]
        yield f"  {listed}: {'; '.join([how, *sizes])}"


def _groups(profile: Profile) -> dict[str, str]:
    return dict(entry.split("=", 1) for entry in profile.settings.get("groups", ()))


def _unknown_partition(cluster: Cluster, partition: str | None) -> Iterator[str]:
    if partition and partition not in cluster.partitions:
        yield f"slurm_partition={partition}: the cluster has {', '.join(cluster.partitions)}"
