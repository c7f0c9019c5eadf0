"""The rules of an audit, by group.

To add rules: a file with what they are judged by and a `GROUP`, and one line here; see CONTRIBUTING.md.
"""

from collections.abc import Mapping, Sequence

from reseed.stages.auditing import (
    drift,
    duplicates,
    leakage,
    projection,
    provenance,
    replay,
    shards,
    speakers,
    utterances,
    vectors,
    versions,
)
from reseed.stages.auditing.evidence import Evidence
from reseed.stages.auditing.finding import FAILED, PASSED, Finding
from reseed.stages.auditing.other_store import RELATIONS
from reseed.store import ConfigError

ANY = "any"

GROUPS = [
    module.GROUP
    for module in (
        utterances,
        vectors,
        shards,
        drift,
        provenance,
        duplicates,
        speakers,
        replay,
        leakage,
        versions,
        projection,
    )
]
RULES = {rule.__name__: rule for group in GROUPS for rule in group.rules}


def judge(evidence: Evidence) -> dict[str, Finding]:
    """Return one finding per rule, in the order of `RULES`."""
    return {name: rule(evidence) for name, rule in RULES.items()}


def check_choices(fail_on: Sequence[str], relation: str | None) -> None:
    """Raise ConfigError where there is no such rule or relation."""
    unknown = [name for name in fail_on if name not in RULES and name != ANY]
    if unknown:
        raise ConfigError(f"no rule {unknown[0]!r}; choose {ANY}, or of {', '.join(RULES)}")
    if relation is not None and relation not in RELATIONS:
        raise ConfigError(f"no relation {relation!r}; choose one of {', '.join(RELATIONS)}")


def failures(findings: Mapping[str, Finding], fail_on: Sequence[str]) -> list[str]:
    """Return the rules to fail on: of those named what did not pass, of "any" what failed."""
    return [
        rule
        for rule, finding in findings.items()
        if (rule in fail_on and finding.status != PASSED) or (ANY in fail_on and finding.status == FAILED)
    ]
