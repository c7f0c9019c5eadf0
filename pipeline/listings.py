"""Which recordings a run will read, as far as lists and folders tell before anything is opened."""

from collections import Counter
from dataclasses import dataclass
from functools import cached_property
from itertools import islice
from pathlib import Path

from reseed.pipeline.plan import Plan, Recordings
from reseed.stages.audio.datasets.table import DATASETS
from reseed.stages.audio.listed import ListedRecording
from reseed.stages.audio.lists.table import list_recordings
from reseed.stages.audio.patterns import expanded
from reseed.stages.synthesise import PerSplit
from reseed.store import ConfigError

MOST = 50_000  # recordings of a kind and split that are listed: more would take seconds


@dataclass(frozen=True)
class Listing:
    """Recordings of one kind and split.

    Attributes:
        name: "speech/train".
        rows: those that can be opened, as far as a list tells.
        is_whole: there are no more than these, and their ids are known.
    """

    name: str
    rows: list[ListedRecording]
    is_whole: bool

    @cached_property
    def speakers(self) -> Counter[str]:
        """How many utterances each known speaker has."""
        return Counter(row.speaker_id for row in self.rows if row.speaker_id is not None)

    @property
    def unknown(self) -> int:
        """How many utterances are of unknown speakers."""
        return len(self.rows) - self.speakers.total()

    def with_utterances(self, least: int) -> int:
        """Return how many speakers have so many utterances or more."""
        return sum(count >= least for count in self.speakers.values())


def listing(plan: Plan, recordings: Recordings, folder: Path) -> Listing:
    """List recordings; of those that the run synthesises first, what its settings say.

    Args:
        folder: that of the run, which keeps what stores list.

    Raises:
        ManifestError, ConfigError: they cannot be listed.
    """
    name = str(recordings)
    if plan.run.synthesise is not None:
        return Listing(name, _synthetic(plan, recordings), is_whole=True)
    source, depth = plan.source(recordings), plan.run.corpus.prepare.speaker_depth
    if source.dataset is None:
        tars, kept = plan.run.corpus.prepare.tarred_audio_filepaths, folder / recordings.listing
        found = list_recordings(source.path, depth, source.split, tars=expanded(tars) if tars else [], kept=kept)
    else:
        assert isinstance(source.path, Path)  # or the configuration is refused
        found = DATASETS.of(source.dataset).recordings(source.path, recordings.kind, source.split)
    rows = list(islice(found, MOST + 1))
    unnamed = [row.utterance_id for row in rows if not row.has_id]  # told apart once their files are opened
    is_whole = len(rows) <= MOST and len(unnamed) == len({*unnamed})
    return Listing(name, [row for row in rows[:MOST] if row.problem is None], is_whole)


def _synthetic(plan: Plan, recordings: Recordings) -> list[ListedRecording]:
    settings, split = plan.run.synthesise, recordings.split
    assert settings is not None
    if split not in PerSplit.model_fields:
        raise ConfigError(f"synthesise makes the splits {', '.join(PerSplit.model_fields)}, not {split!r}")
    groups, each = {
        "speech": (settings.voices, getattr(settings.utterances_per_voice, split)),
        "noise": (settings.noises, 1),
        "music": (settings.music, 1),
        "rir": (settings.rooms, settings.positions_per_room),
    }[recordings.kind]
    names = [f"{recordings}-{number}" for number in range(getattr(groups, split))]
    return [ListedRecording(f"{name}/{take}", Path(name), name) for name in names for take in range(each)]
