"""What a rule says of a store: a status, a sentence, and the worst offenders as rows of a table."""

import shlex
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Generic, Literal, TypeVar

from reseed.stages.auditing.blocks import RowKey
from reseed.stages.common.terminal import lines
from reseed.store.url import AnyPath, Url

Status = Literal["passed", "failed", "skipped"]
Item = TypeVar("Item")
Offender = Mapping[str, str | int | float]

PASSED: Status = "passed"
FAILED: Status = "failed"
SKIPPED: Status = "skipped"
LISTED = 10  # offenders


@dataclass(frozen=True)
class Finding:
    """What a rule has found.

    Attributes:
        says: one or two sentences.
        offenders: the worst, as rows of a table; "hear" is a command.
    """

    status: Status
    says: str
    offenders: Sequence[Offender] = ()


@dataclass(frozen=True)
class Unchecked:
    """Why something could not be checked."""

    reason: str


@dataclass(frozen=True)
class FirstFew(Generic[Item]):
    """How many of something there are, and the first of them."""

    count: int
    first: list[Item]


@dataclass(frozen=True)
class Audit:
    """What an audit has found.

    Attributes:
        findings: by rule.
        failed_on: the rules of `fail_on` that failed.
        measures: the figures behind it, see `reseed.stages.auditing.measures`.
        sample: "8 of 1000 shards", where no more were looked at.
    """

    store: AnyPath
    fingerprint: str
    findings: Mapping[str, Finding]
    failed_on: list[str]
    page: Path | None
    measures: Mapping[str, object]
    sample: str | None = None

    @property
    def verdict(self) -> str:
        """One sentence."""
        passed, failed, skipped = (self.rules(status) for status in (PASSED, FAILED, SKIPPED))
        rest = f"{len(passed)} rules hold, {len(skipped)} could not be checked"
        rest += f"; {self.sample} were looked at" if self.sample else ""
        if failed:
            return f"Do not trust {self.store} as it is: {', '.join(failed)} failed; {rest}."
        return f"Nothing speaks against {self.store}: {rest}."

    def rules(self, status: Status) -> list[str]:
        """Name the rules of a status."""
        return [rule for rule, finding in self.findings.items() if finding.status == status]

    def to_json(self) -> dict[str, object]:
        """Return it as JSON."""
        return {
            "store": str(self.store),
            "fingerprint": self.fingerprint,
            "verdict": self.verdict,
            "findings": [{"rule": rule, **asdict(finding)} for rule, finding in self.findings.items()],
            "measures": self.measures,
            "page": None if self.page is None else str(self.page),
        }

    def summary(self) -> str:
        """Return it as lines."""
        judged = [f"{finding.status:8}{rule:12}{finding.says}" for rule, finding in self.findings.items()]
        return lines([self.verdict, *judged, *([f"page: {self.page}"] if self.page else [])])


def replay_command(store: AnyPath, key: RowKey, recordings: Sequence[Path | Url] = ()) -> str:
    """Return the command that makes a row again and writes what it sounds like."""
    words = ["reseed", "replay", str(store), key.utterance_id, "--view", key.view, "--crop", str(key.crop)]
    if key.utterance_id.startswith("-"):
        words = [*words[:3], *words[4:], "--", key.utterance_id]
    named = [word for folder in recordings for word in ("--recordings", str(folder))]
    return shlex.join([*words[:2], "--out", "heard.wav", *named, *words[2:]])
