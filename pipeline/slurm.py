"""What a Slurm cluster has, by asking it: nodes, limits, whether it keeps accounts of jobs that have ended."""

import getpass
import re
import shutil
import subprocess
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from reseed.pipeline.profiles import Request
from reseed.store import ConfigError

_ANSWER_S = 60
_LEAST_JOB_AGE_S = 60  # the plugin asks every ten seconds at first, later less often
_SINFO = "%P|%D|%c|%m|%G|%l|%T"


@dataclass(frozen=True)
class Nodes:
    """Nodes of a kind in a partition, as sinfo lists them.

    Attributes:
        cpus, memory_mb: of each.
        gres: "gpu:a100:4", or "(null)".
    """

    partition: str
    is_default: bool
    count: int
    cpus: int
    memory_mb: int
    gres: str
    longest: str
    state: str

    @property
    def gpus(self) -> int:
        """GPUs of each node."""
        return sum(int(count) for count in re.findall(r"gpu(?::[^:,(]+)?:(\d+)", self.gres))

    def holds(self, request: Request) -> bool:
        """Whether a job fits into one of them; time limits aside."""
        return request.cores <= self.cpus and request.memory_mb <= self.memory_mb and request.gpus <= self.gpus

    @property
    def size(self) -> str:
        """What each of them has."""
        return f"{self.cpus} cores, {self.memory_mb:,} MB{f', {self.gres}' if self.gpus else ''}"

    def __str__(self) -> str:
        return f"{self.count} x {self.size}, {self.state}; at most {self.longest}"


@dataclass(frozen=True)
class Cluster:
    """What a cluster said of itself.

    Attributes:
        has_accounting: sacct knows of jobs that have ended.
        job_age_s: how long after its end squeue still knows of a job.
        accounts: those of this user; none where there is no accounting.
    """

    version: str
    nodes: list[Nodes]
    has_accounting: bool
    job_age_s: int
    accounts: list[str]

    @property
    def status_command(self) -> str:
        """Who tells what became of jobs: sacct forgets nothing; without accounting it knows nothing."""
        return "sacct" if self.has_accounting else "squeue"

    @property
    def partitions(self) -> list[str]:
        return list(dict.fromkeys(each.partition for each in self.nodes))

    def too_small(self, requests: dict[str, Request], partition: str | None = None) -> Iterator[str]:
        """Yield which rules ask for more than any node has.

        Args:
            partition: where they are sent; None: to the default, or to any where there is none.
        """
        chosen = [each for each in self.nodes if each.partition == partition or (not partition and each.is_default)]
        nodes, where = chosen or self.nodes, chosen[0].partition if chosen else "this cluster"
        for rule, request in requests.items():
            if not any(each.holds(request) for each in nodes):
                largest = max(nodes, key=lambda each: (each.gpus >= request.gpus, each.cpus, each.memory_mb))
                cores, memory_mb = min(request.cores, largest.cpus), min(request.memory_mb, largest.memory_mb)
                yield (
                    f"no node of {where} has what {rule} asks for ({request}), the largest {largest.size}; "
                    f"give --cores {cores} --resources=mem_mb={memory_mb}, or another partition (docs/clusters.md)"
                )

    def lines(self) -> Iterator[str]:
        """Yield what there is, a line each."""
        yield f"Slurm {self.version}"
        for each in self.nodes:
            yield f"  partition {each.partition}{' (default)' if each.is_default else ''}: {each}"
        if self.has_accounting:
            accounts = ", ".join(self.accounts) or "none"
            yield f"  accounting: on, so sacct says what became of jobs; your accounts: {accounts}"
        else:
            yield f"  accounting: off, so squeue says what became of jobs, for {self.job_age_s} s after their end"
        if not self.has_accounting and self.job_age_s < _LEAST_JOB_AGE_S:
            yield "  that is too short to notice every end: ask for accounting, or a larger MinJobAge"


def ask() -> Cluster:
    """Ask the cluster that this machine submits to.

    Raises:
        ConfigError: Slurm is not installed here, or does not answer.
    """
    if shutil.which("sinfo") is None:
        raise ConfigError("Slurm is not installed on this machine (no sinfo); start the run where sbatch works")
    settings = dict(re.findall(r"^(\S+)\s*=\s*(.*?)\s*$", _answer("scontrol", "show", "config"), re.MULTILINE))
    nodes = [_nodes(line.split("|")) for line in _answer("sinfo", "--noheader", f"--format={_SINFO}").splitlines()]
    has_accounting = _has_accounting(settings.get("AccountingStorageType", ""))
    age = re.match(r"\d+", settings.get("MinJobAge", ""))
    return Cluster(
        version=settings.get("SLURM_VERSION", "of unknown version"),
        nodes=nodes,
        has_accounting=has_accounting,
        job_age_s=int(age.group()) if age else 0,
        accounts=_accounts() if has_accounting else [],
    )


def _nodes(fields: Sequence[str]) -> Nodes:
    name, count, cpus, memory, gres, longest, state = fields
    return Nodes(
        partition=name.removesuffix("*"),
        is_default=name.endswith("*"),
        count=int(count),
        cpus=int(re.sub(r"\D.*", "", cpus)),  # "64+": that many or more
        memory_mb=int(re.sub(r"\D.*", "", memory)),
        gres=gres,
        longest=longest,
        state=state,
    )


def _has_accounting(storage: str) -> bool:
    if storage.endswith("/none") or shutil.which("sacct") is None:
        return False
    try:
        _answer("sacct", "--allocations", "--noheader", "--format=JobID")
    except ConfigError:  # its database does not answer
        return False
    return True


def _accounts() -> list[str]:
    try:
        told = _answer("sacctmgr", "-nP", "show", "associations", f"user={getpass.getuser()}", "format=account")
    except ConfigError:
        return []
    return sorted({*told.split()})


def _answer(*command: str) -> str:
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=_ANSWER_S, check=False)
    except (OSError, subprocess.TimeoutExpired) as error:
        raise ConfigError(f"Slurm does not answer `{' '.join(command)}`: {error}") from error
    if done.returncode != 0:
        said = (done.stderr.strip() or done.stdout.strip() or "it says nothing").splitlines()[-1]
        raise ConfigError(f"Slurm does not answer `{' '.join(command)}`: {said}")
    return done.stdout
