"""`report`: scores of several systems -> metrics.json, groups.json, summary.json, tables/ and one HTML page."""

from collections.abc import Mapping, Sequence
from pathlib import Path

from reseed.stages.reporting.build import build, check_replaceable
from reseed.stages.reporting.results.files import BackbonePair, RunFiles
from reseed.stages.reporting.results.load import load
from reseed.stages.reporting.results.settings import ReportSettings
from reseed.store.url import AnyPath


def report(
    *,
    scores: list[Path],
    identification: list[Path],
    stores: list[AnyPath],
    utterances: AnyPath,
    report: Path,
    title: str,
    note: str,
    settings: ReportSettings,
    config: str,
    backbone_pairs: Mapping[str, BackbonePair] | None = None,
    frontends: Sequence[Path] = (),
    leakage: Path | None = None,
    terms: Mapping[str, str] | None = None,
) -> str:
    """Write the report and return one sentence on it.

    Args:
        scores: scores.parquet of each system, in the order in which systems are shown; fused ones last.
        identification: identification.parquet of each but the fused ones, in the same order; or none.
        stores: the store that each but the fused ones was scored from, in the same order, for figures of the space;
            or none.
        utterances: utterances.parquet, which says who speaks.
        report: directory to write; metrics.json, groups.json (both also as .csv), summary.json, conclusions.json (its
            sentences), flips.json (trials that got worse, where there are some), plots/, tables/ and, last, index.html.
        backbone_pairs: what is compared by each system that scores two backbones against each other.
        frontends: directories of front ends, whose spectrograms are shown.
        config: the configuration that all of this is of, as YAML; it is kept beside the page.
        terms: what the run calls things, {"item": "picture"}; see `reseed.stages.common.terms`.
        title, note: heading of the page and the remark under it.

    Raises:
        ScoringError: a score file cannot be used, a condition lacks a class, or the lists do not match.
        StoreError: a store is not the one that its scores were computed from.
        ManifestError: the manifest cannot be read.
    """
    run = RunFiles("", scores, identification, stores, utterances, backbone_pairs or {}, frontends, leakage)
    check_replaceable(report, [run])
    return build(load([run]), report, title, [note], settings, config, terms)
