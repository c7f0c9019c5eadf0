"""The labelled speech of a training: its order, what is trained on, and what is held out."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Self

from reseed.stages.audio.manifest import Utterance, read_manifest
from reseed.stages.audio.recipe import check_sources
from reseed.stages.backbones.training.anchors import Anchors
from reseed.stages.backbones.training.settings import BackboneTraining, SpeechTraining
from reseed.stages.common.terminal import log
from reseed.stages.training.order import TrainingOrder
from reseed.store import ManifestError

_MOST_HELD_OUT = 256  # utterances


@dataclass(frozen=True, kw_only=True)
class SpeechOrder(TrainingOrder):
    """A training that hears speech.

    Attributes:
        utterances: manifest of the speech.
        sources: "noise", "music", "rir", "babble" -> manifest, as the views need; babble is the speech by default.

    Raises:
        ConfigError: a view asks for a source that is not given.
    """

    utterances: Path
    settings: SpeechTraining
    sources: Mapping[str, Path] = field(default_factory=dict)

    def __post_init__(self) -> None:
        super().__post_init__()
        check_sources(self.settings.views, self.manifests)

    @property
    def manifests(self) -> dict[str, Path]:
        """The sources, babble among them."""
        return {"babble": self.utterances, **self.sources}


@dataclass(frozen=True)
class Speech:
    """Labelled speech, divided by speaker.

    Attributes:
        utterances: what is trained on.
        speakers: who speaks in it, sorted.
        held_out: utterances of other speakers, for validation.
    """

    utterances: list[Utterance]
    speakers: list[str]
    held_out: list[Utterance]

    @classmethod
    def of(cls, manifest: Path, settings: BackboneTraining, anchors: Anchors | None) -> Self:
        """Read a manifest, and leave out what cannot be trained on.

        Raises:
            ManifestError: labels are missing where speakers are to be classified, or there is one speaker.
        """
        utterances, held_out = hold_out(read_manifest(manifest), settings.held_out)
        unlabelled = sum(utterance.speaker_id is None for utterance in utterances)
        if settings.head is not None and unlabelled:
            raise ManifestError(
                f"{manifest}: {unlabelled} of {len(utterances)} utterances have no speaker; leave them out, or train "
                "with head: null and anchors, which needs no labels"
            )
        if anchors is not None:
            utterances = anchors.stored(utterances, manifest)
        speakers = speakers_of(utterances)
        if settings.head is not None:
            if len(speakers) < 2:
                raise ManifestError(
                    f"{manifest}: {len(speakers)} speaker to train on; classification needs two or more"
                )
            _log_single_utterances(utterances)
        return cls(utterances, speakers, held_out)


def speakers_of(utterances: Sequence[Utterance]) -> list[str]:
    """Return the known speakers, sorted: the order of their classes."""
    return sorted({utterance.speaker_id for utterance in utterances if utterance.speaker_id is not None})


def hold_out(utterances: Sequence[Utterance], share: float) -> tuple[list[Utterance], list[Utterance]]:
    """Divide by speaker: what is trained on, and at most 256 utterances of the last `share` of those with several."""
    counts = Counter(utterance.speaker_id for utterance in utterances if utterance.speaker_id is not None)
    several = sorted(speaker for speaker, count in counts.items() if count > 1)
    last = set(several[len(several) - round(share * len(several)) :]) if share else set()
    kept = [utterance for utterance in utterances if utterance.speaker_id not in last]
    return kept, [utterance for utterance in utterances if utterance.speaker_id in last][:_MOST_HELD_OUT]


def _log_single_utterances(utterances: Sequence[Utterance]) -> None:
    """Log how many speakers have one utterance: their class is that recording, with its channel and its words."""
    counts = Counter(utterance.speaker_id for utterance in utterances)
    single = [name for name, count in counts.items() if count == 1]
    if single:
        share = f"{len(single)} of {len(counts)} speakers"
        log(f"{share} have one utterance, e.g. {single[0]}: its channel tells them apart")
