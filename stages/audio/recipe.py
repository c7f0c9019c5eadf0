"""What is declared about a rendering: views, crops, and the recipe made of them. Nothing here opens audio."""

from typing import Annotated

from pydantic import BeforeValidator, Field

from stages.section import Section

ADDITIVE = ("noise", "music", "babble")


def _as_range(value: object) -> object:
    return (value, value) if isinstance(value, int | float) and not isinstance(value, bool) else value


SnrRange = Annotated[tuple[float, float], BeforeValidator(_as_range)]


class View(Section):
    """The recipe of one view; SNR in dB, one number or a range [low, high]. All left out: the clean recording."""

    reverb: bool = False
    noise: SnrRange | None = None
    music: SnrRange | None = None
    babble: SnrRange | None = None

    def recipe(self) -> dict[str, object]:
        """Return the view as JSON: only what it applies, a fixed SNR as one number."""
        recipe: dict[str, object] = {"reverb": True} if self.reverb else {}
        for kind in ADDITIVE:
            snr = getattr(self, kind)
            if snr is not None:
                recipe[kind] = snr[0] if snr[0] == snr[1] else list(snr)
        return recipe


class CropSettings(Section):
    """How many crops an utterance gives, how long they are, and whether they lie at random or evenly spaced."""

    count: int = Field(default=1, ge=1)
    duration_s: float = Field(default=1.6, gt=0)
    placement: str = Field(default="random", pattern="^(random|even)$")


class ExtractSettings(Section):
    """What is rendered of each utterance.

    Attributes:
        views: view name -> its recipe; their order is the row order. `clean` is what the others are paired with.
        crops: how the utterance is cut.
        dtype: how vectors are stored.
        vectors: where they lie: a dense HDF5 data set that can be memory-mapped, or a column of the Parquet catalogue.
        batch: waveforms per pass of the backbone.
    """

    views: dict[str, View]
    crops: CropSettings = CropSettings()
    dtype: str = Field(default="float32", pattern="^float(16|32)$")
    vectors: str = Field(default="hdf5", pattern="^(hdf5|parquet)$")
    batch: int = Field(default=64, ge=1)


def sources_needed(views: dict[str, View]) -> list[str]:
    """Return what the views draw from: of "noise", "music", "babble" and "rir"."""
    wanted = [kind for kind in ADDITIVE if any(getattr(view, kind) for view in views.values())]
    return wanted + (["rir"] if any(view.reverb for view in views.values()) else [])
