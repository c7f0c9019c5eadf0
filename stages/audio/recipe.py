"""What is declared about a rendering: views, crops, and the recipe made of them. Nothing here opens audio."""

import math
from collections.abc import Collection, Iterator, Sequence
from typing import Annotated, Any, Literal

from pydantic import (
    AfterValidator,
    BeforeValidator,
    Field,
    SerializerFunctionWrapHandler,
    model_serializer,
    model_validator,
)

from reseed.stages.audio.vad_settings import Vad, floor_conflicts
from reseed.stages.common.section import Conflict, Entries, OneOf, Section, Takes
from reseed.store import ConfigError

ADDITIVE = ("noise", "music", "babble")


def _as_range(value: object) -> object:
    return (value, value) if isinstance(value, int | float) and not isinstance(value, bool) else value


def _ascending(ends: tuple[float, float]) -> tuple[float, float]:
    if ends[0] > ends[1]:
        raise ValueError(f"a range goes from low to high; write [{ends[1]:g}, {ends[0]:g}]")
    return ends


def _as_tuple(value: object) -> object:
    return (value,) if isinstance(value, str) else value


Speed = Annotated[float, Field(ge=0.5, le=2.0)]
_RANGE = "a number or a range [low, high]"
Range = Annotated[tuple[float, float], BeforeValidator(_as_range), AfterValidator(_ascending), Takes(_RANGE)]
SpeedRange = Annotated[
    tuple[Speed, Speed], BeforeValidator(_as_range), AfterValidator(_ascending), Takes(f"{_RANGE}, of 0.5 to 2")
]
Codecs = Annotated[tuple[Literal["mp3", "opus", "vorbis", "gsm"], ...], BeforeValidator(_as_tuple)]


class View(Section):
    """One rendering of a crop: what is done to it, in this order; what is a range is drawn anew for each crop.

    A view without settings is clean.

    Attributes:
        speed: play faster by this factor, which raises the pitch.
        reverb: convolve with a room response.
        noise, music, babble: add some, at this SNR in dB over the whole crop.
        volume: gain in dB; what then exceeds full scale is clipped.
        telephony: limit the band, to 8 kHz sampling and back.
        mu_law: compand to 8 bits (G.711).
        codec: encode and decode by one of these, drawn with equal chances; a single one needs no list.
        chance: chance of each of the above to be applied, drawn one by one.
    """

    speed: SpeedRange | None = None
    reverb: bool = False
    noise: Range | None = None
    music: Range | None = None
    babble: Range | None = None
    volume: Range | None = None
    telephony: bool = False
    mu_law: bool = False
    codec: Codecs = ()
    chance: float = Field(default=1.0, gt=0.0, le=1.0)

    def recipe(self) -> dict[str, Any]:
        """Return the view as JSON: only what it applies, a fixed number as one number."""
        stated = self.model_dump(mode="json", exclude_defaults=True)
        return {key: value[0] if _is_fixed(value) else value for key, value in stated.items()}


def _is_fixed(value: object) -> bool:
    return isinstance(value, list) and len(set(value)) == 1


class WindowSettings(Section):
    """Windows of a crop whose vectors are averaged, each scaled to unit length; the last one ends where the crop does.

    Attributes:
        length_s: of a window, in seconds; a crop that is no longer is one.
        hop_s: from the start of one window to that of the next.
    """

    length_s: float = Field(gt=0, le=86_400, examples=[3.0])
    hop_s: float = Field(gt=0, le=86_400, examples=[1.5])


class CropSettings(Section):
    """How an utterance is cut; `whole`, in place of all that, takes it as it is.

    Attributes:
        count: crops of an utterance.
        duration_s: length of a crop in seconds, a shorter utterance being repeated up to it; null: the whole utterance.
        placement: whether crops lie at random; evenly spaced, inside; or evenly spaced from the very beginning to the
            very end, as voxceleb_trainer and SEED evaluate.
        min_s: what is shorter is a reject; null: nothing is.
        max_s: of a whole utterance that is longer, so much of its middle is taken; null: it is taken as it is.
        windows: of a crop, each embedded, and their mean stored; null: a crop is embedded at once.
        vad: leave out what is no speech before anything is cut: energy, as Kaldi does; silero, a network; or a section
            that says how; none or null: all is taken.
        min_speech_s: with vad: what holds less speech is a reject; null: what holds none.
    """

    count: int = Field(default=1, ge=1, le=10_000)
    duration_s: float | None = Field(default=1.6, gt=0, le=86_400)
    placement: Literal["random", "even", "ends"] = "random"
    min_s: float | None = Field(default=None, gt=0, le=86_400)
    max_s: float | None = Field(default=None, gt=0, le=86_400)
    windows: WindowSettings | None = None
    vad: Vad = None
    min_speech_s: float | None = Field(default=None, gt=0, le=86_400)

    @model_validator(mode="before")
    @classmethod
    def _in_a_word(cls, given: Any) -> Any:
        return {"duration_s": None, "placement": "even"} if given == "whole" else given

    def conflicts(self) -> Iterator[Conflict]:
        if self.duration_s is None and self.count > 1:
            yield Conflict("count", "must be 1 of whole utterances (duration_s is null)", ("count", "duration_s"))
        if self.duration_s is not None and self.max_s is not None:
            text = f"is for whole utterances, but duration_s is {self.duration_s:g}; leave it out"
            yield Conflict("max_s", text, ("max_s", "duration_s"))
        if self.min_s is not None and self.max_s is not None and self.min_s > self.max_s:
            yield Conflict("min_s", f"is above max_s ({self.max_s:g})", ("min_s", "max_s"))
        yield from floor_conflicts(self.vad, self.min_speech_s)

    @model_serializer(mode="wrap")
    def _without_what_is_not_set(self, dump: SerializerFunctionWrapHandler) -> dict[str, Any]:
        """Leave out what is not set: what was extracted before there was any is not extracted again."""
        found: dict[str, Any] = dump(self)
        return {name: value for name, value in found.items() if value is not None or name == "duration_s"}


RECIPES: dict[str, dict[str, Any]] = {
    # SEED, section 3.1 and its code: one crop of 32,240 samples in four views.
    "seed": {
        "crops": {"count": 1, "duration_s": 32_240 / 16_000, "placement": "random"},
        "views": {"clean": {}, "music": {"music": [5, 15]}, "noise": {"noise": [0, 15]}, "reverb": {"reverb": True}},
    },
    # vMF-PL: one view in which everything may overlap.
    "broad": {
        "crops": {"count": 1, "duration_s": 2.0, "placement": "random"},
        "views": {
            "clean": {},
            "broad": {
                "reverb": True,
                "noise": [-20, 20],
                "music": [-20, 20],
                "volume": [-10, 10],
                "telephony": True,
                "mu_law": True,
                "chance": 0.5,
            },
        },
    },
    # Conditions for evaluation: each kind of disturbance by itself, at fixed SNRs.
    "grid": {
        "crops": {"count": 2, "duration_s": 4.0, "placement": "even"},
        "views": {
            "clean": {},
            **{f"{kind}_{snr}db": {kind: snr} for kind in ADDITIVE for snr in (0, 5, 10, 15)},
            "reverb": {"reverb": True},
            "reverb_noise_5db": {"reverb": True, "noise": 5},
            "telephony": {"telephony": True, "mu_law": True},
            **{codec: {"codec": codec} for codec in ("mp3", "opus", "gsm")},
        },
    },
}


class ExtractSettings(Section):
    """What is rendered of each utterance, and how it is embedded.

    Attributes:
        recipe: a published set of views and crops, in place of views; crops that are given win.
        views: renderings by name, in the order of the store's rows; `clean` is the one that enhancers learn to restore.
        crops: how the utterance is cut.
        dtype: type of the stored vectors.
        vectors: where they lie: in a dense HDF5 data set that can be memory-mapped, or in a column of the Parquet
            catalogue.
        precision: precision in which the backbone computes; bfloat16 is faster on many devices, and changes each
            vector a little.
        batch: waveforms that are mixed and embedded together, on a CPU 20 s of them per pass of the backbone; halved
            where the memory of the device does not suffice.
        decoders: threads that read and draw ahead of the backbone; null: by the number of cores, and 16 where it is a
            store that is waited for.
        compile: let torch compile the backbone.
    """

    recipe: Annotated[str, OneOf(tuple(RECIPES))] | None = None
    views: Entries[View] = Field(examples=[{"clean": {}, "noise": {"noise": [0, 15]}}])
    crops: CropSettings = CropSettings()
    dtype: Literal["float32", "float16"] = "float32"
    vectors: Literal["hdf5", "parquet"] = "hdf5"
    precision: Literal["float32", "bfloat16", "float16"] = "float32"
    batch: int = Field(default=64, ge=1)
    decoders: int | None = Field(default=None, ge=1, le=1024)
    compile: bool = False

    @model_validator(mode="before")
    @classmethod
    def _with_recipe(cls, given: Any) -> Any:
        """Put a recipe's views and crops in its place, so that what is written down says what was done."""
        if not isinstance(given, dict) or given.get("recipe") is None:
            return given
        name, rest = given["recipe"], {key: value for key, value in given.items() if key != "recipe"}
        if not isinstance(name, str) or name not in RECIPES:
            return {"views": {}, **given}  # the name is what is wrong, not that views are missing
        if rest.get("views") is not None:
            raise ValueError(f"the recipe {name} has views of its own; give either recipe or views")
        crops = rest.get("crops") or {}
        merged = {**RECIPES[name]["crops"], **crops} if isinstance(crops, dict) else crops
        return {**rest, "views": RECIPES[name]["views"], "crops": merged}


def check_sources(views: dict[str, View], given: Collection[str]) -> list[str]:
    """Return what the views draw from, as `sources_needed`.

    Raises:
        ConfigError: some of it is not given.
    """
    needed = sources_needed(views)
    missing = [kind for kind in needed if kind not in given]
    if missing:
        raise ConfigError(f"the views ask for {', '.join(missing)}; give the manifest with --{missing[0]}")
    return needed


def sources_needed(views: dict[str, View]) -> list[str]:
    """Return what the views draw from: of "noise", "music", "babble" and "rir"."""
    wanted = [kind for kind in ADDITIVE if any(getattr(view, kind) for view in views.values())]
    return wanted + (["rir"] if any(view.reverb for view in views.values()) else [])


def combined_snr_db(snrs_db: Sequence[float]) -> float | None:
    """Return the SNR against the sum of independent noises, each at its own SNR; None where there is none."""
    return -10 * math.log10(sum(10 ** (-snr_db / 10) for snr_db in snrs_db)) if snrs_db else None
