"""`python -m reseed.pipeline.plugins ...` is Snakemake, with a plugin of its logger, and those for clusters put right.

snakemake-executor-plugin-slurm 2.8.0 waits forever, or believes what is not so, in these cases (Slurm 22.05):

* sacct says "CANCELLED by 1000", which the plugin takes for a job that runs;
* sacct's JobIdRaw numbers the tasks of an array otherwise than the plugin, which reads one task's state for all;
* queries that fail (the controller restarts) make it forget every job;
* squeue forgets a job MinJobAge seconds after its end, and it counts as waiting. Of one that is said to be UNKNOWN
  Snakemake looks whether its files are there;
* a job starts Snakemake, which starts Snakemake by srun for each step: once is enough, but for arrays, whose tasks the
  first tells what to do;
* of a job that waits to be begun again after its node was lost, sacct says that it is on the node "None assigned":
  the plugin tells sbatch to exclude it from then on, and nothing is sent any more;
* it asks more and more seldom, down to once in three minutes;
* of an array it sends what is ready only once all of it is, which `jobs` in a profile may never let it be.

snakemake-executor-plugin-kubernetes 0.5.1 lets nobody say that pods share a volume: it overrules `shared-fs-usage` and
demands a bucket, which would get what rules declare: the marker of a store without its shards. Its pods start elsewhere
than in the folder of the run.
"""

import dataclasses
import re
import runpy
import shlex
import threading
from collections.abc import Awaitable, Callable
from typing import Any

from snakemake_interface_logger_plugins.registry import LoggerPluginRegistry

from reseed.pipeline import events

_LONGEST_WAIT_S = 30
_ARRAY_OR_JOB = re.compile(r"\d+(_\d+)?")
_Answer = tuple[dict[str, str] | None, float | None]
_Query = Callable[[str, Any], Awaitable[_Answer]]


class States:
    """What is known of the jobs of a run, by the number of the job, or of the task of an array: "12_3".

    Args:
        query: the plugin's own question.
    """

    def __init__(self, query: _Query) -> None:
        self._query = query
        self._known: dict[str, str] = {}

    async def __call__(self, command: str, logger: Any) -> _Answer:
        found, took_s = await self._query(command.replace("JobIdRaw", "JobID"), logger)
        if found is None:
            return self._known, 0.0
        found = {job: state.split(" ")[0] for job, state in found.items()}
        forgotten = self._known.keys() - found.keys() if command.startswith("squeue") else set()
        self._known = {job: state for job, state in found.items() if _ARRAY_OR_JOB.fullmatch(job)}
        self._known |= dict.fromkeys(forgotten, "UNKNOWN")
        return found | dict.fromkeys(forgotten, "UNKNOWN"), took_s


class NodeNames(set[str]):
    """Names of nodes, and nothing that is none, such as "None assigned"."""

    def add(self, name: str) -> None:
        if " " not in name:
            super().add(name)


def mend_slurm() -> None:
    """Let the plugin for Slurm read the states of jobs as Slurm means them."""
    try:
        import snakemake_executor_plugin_slurm as plugin
    except ImportError:
        return
    plugin.query_job_status = States(plugin.query_job_status)
    plugin.pending_jobs_for_rule = lambda dag, rule_name: 0  # what is ready is sent
    executor, array = plugin.Executor, threading.local()
    general, send_array = executor.additional_general_args, executor.run_array_jobs

    def sent_as_array(self: Any, jobs: list[Any]) -> None:
        array.is_sent = True
        try:
            send_array(self, jobs)
        finally:
            array.is_sent = False

    executor.run_array_jobs = sent_as_array
    executor.additional_general_args = lambda self: general(self) if getattr(array, "is_sent", False) else ""
    settle = executor.__post_init__

    def settled(self: Any, *given: Any, **options: Any) -> None:
        settle(self, *given, **options)
        self._failed_nodes = NodeNames(self._failed_nodes)

    executor.__post_init__ = settled
    waits = executor.next_seconds_between_status_checks
    executor.next_seconds_between_status_checks = property(
        waits.fget, lambda self, wait_s: waits.fset(self, min(wait_s, _LONGEST_WAIT_S))
    )


def mend_kubernetes() -> None:
    """Let pods share a volume, as the profile says that they do."""
    try:
        import snakemake_executor_plugin_kubernetes as plugin
    except ImportError:
        return
    plugin.common_settings = dataclasses.replace(
        plugin.common_settings,
        implies_no_shared_fs=False,
        job_deploy_sources=False,
        auto_deploy_default_storage_provider=False,
    )
    plugin.Executor.get_job_exec_prefix = lambda executor, job: f"cd {shlex.quote(executor.workflow.workdir_init)}"


if __name__ == "__main__":
    LoggerPluginRegistry().register_plugin(f"snakemake_logger_plugin_{events.PLUGIN}", events)
    mend_slurm()
    mend_kubernetes()
    runpy.run_module("snakemake", run_name="__main__")
