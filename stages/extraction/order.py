"""What to extract, as it is asked for."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from reseed.stages.audio.recipe import ExtractSettings, check_sources, sources_needed


@dataclass(frozen=True)
class ExtractOrder:
    """What to extract, by paths, names and numbers: all that another process needs to take part.

    Attributes:
        utterances: corpus manifest; every row not rejected gives crops x views vectors.
        sources: "noise", "music", "rir", "babble" -> manifest of the recordings that views draw from; babble comes
            from `utterances` by default.
        backbone: its name, and the settings of its Config.
        frontend: directory of a front end that stands before the backbone.
        device: "cpu", "cuda", "cuda:1" or "auto".

    Raises:
        ConfigError: a view asks for a source that is not given.
    """

    utterances: Path
    backbone: str
    settings: ExtractSettings
    seed: int
    sources: Mapping[str, Path] = field(default_factory=dict)
    backbone_settings: Mapping[str, Any] = field(default_factory=dict)
    frontend: Path | None = None
    device: str = "cpu"

    def __post_init__(self) -> None:
        check_sources(self.settings.views, (*self.sources, "babble"))

    @property
    def manifests(self) -> dict[str, Path]:
        """Role -> manifest, of the utterances and of every source that a view draws from."""
        given = {"babble": self.utterances, **self.sources}
        return {"utterances": self.utterances, **{kind: given[kind] for kind in sources_needed(self.settings.views)}}

    def absolute(self) -> "ExtractOrder":
        """Return the same order with its paths made absolute, as another process in another folder needs it."""
        sources = {role: path.resolve() for role, path in self.sources.items()}
        frontend = self.frontend and self.frontend.resolve()
        return replace(self, utterances=self.utterances.resolve(), sources=sources, frontend=frontend)
