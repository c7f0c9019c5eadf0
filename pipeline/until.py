"""The files that a run stops at: those of some rules, wherever they stand in its DAG."""

import csv
import re
import subprocess
from collections.abc import Mapping, Sequence

from reseed.store import ConfigError, ReseedError


def steps_to_do(command: Sequence[str], environment: Mapping[str, str]) -> dict[str, int]:
    """Return how many steps of each rule are to be done, by the table of a dry run.

    Args:
        command: that which starts the run.

    Raises:
        ReseedError: Snakemake cannot list the run.
    """
    listed = _listed([*command, "--dry-run"], environment)
    table = re.search(r"^Job stats:\n.*?\n-+ .*\n(.*?)^total ", listed.stdout + listed.stderr, re.DOTALL | re.MULTILINE)
    counts = [line.split() for line in table.group(1).splitlines()] if table else []
    return {rule: int(count) for rule, count in counts if rule != "all"}


def outputs_of(rules: Sequence[str], command: Sequence[str], environment: Mapping[str, str]) -> list[str]:
    """Return the files that some rules make in a run, as Snakemake lists them.

    Snakemake's own --until never starts what depends on a step of such a rule, not even another step of it: stores that
    a trained front end extracts depend on a store that was extracted for its training.

    Args:
        command: that which starts the run.

    Raises:
        ConfigError: the run has no step of that rule.
        ReseedError: Snakemake cannot list the run.
    """
    rows = list(csv.DictReader(_listed([*command, "--summary"], environment).stdout.splitlines(), delimiter="\t"))
    known = sorted({row["rule"] for row in rows})
    for rule in rules:
        if rule not in known:
            raise ConfigError(f"--until {rule}: this run has no such step; choose {', '.join(known)}")
    return [row["output_file"] for row in rows if row["rule"] in rules]


def _listed(command: Sequence[str], environment: Mapping[str, str]) -> "subprocess.CompletedProcess[str]":
    listed = subprocess.run(command, env=dict(environment), capture_output=True, text=True, check=False)
    if listed.returncode != 0:
        raise ReseedError(f"the run cannot be listed: {(listed.stdout + listed.stderr).strip()}")
    return listed
