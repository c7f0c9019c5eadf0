"""How speech is told from silence, as it is declared. Nothing here opens audio."""

from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field, SerializerFunctionWrapHandler, model_serializer, model_validator

from reseed.stages.common.packaged import packaged_file
from reseed.stages.common.section import Conflict, Section, Takes


class EnergySettings(Section):
    """Kaldi's compute-vad on log energies; the defaults are those of its recipe sre16/v2.

    Attributes:
        threshold, mean_scale: a frame is loud where its log energy, of samples of 16 bits, is above threshold +
            mean_scale x the mean log energy of the utterance.
        context: frames on either side that are looked at, too.
        proportion: share of these frames that has to be loud for the one in the middle to be speech.
    """

    threshold: float = 5.5
    mean_scale: float = Field(default=0.5, ge=0)
    context: int = Field(default=2, ge=0, le=1000)
    proportion: float = Field(default=0.12, gt=0, lt=1)


class SileroSettings(Section):
    """What is made of silero's probabilities; the defaults are those of its own get_speech_timestamps.

    Attributes:
        threshold: speech begins where its probability reaches this, and ends where it falls 0.15 below.
        shortest_speech_s: what is not longer is left out.
        shortest_silence_s: shorter silence does not end a stretch.
        padding_s: so much is taken along at both ends of a stretch.
    """

    threshold: float = Field(default=0.5, ge=0.02, lt=1)
    shortest_speech_s: float = Field(default=0.25, ge=0, le=60)
    shortest_silence_s: float = Field(default=0.1, ge=0, le=60)
    padding_s: float = Field(default=0.03, ge=0, le=60)


class VadSettings(Section):
    """Voice activity detection; in place of all that, the name of a method.

    Attributes:
        method: by energy, as Kaldi; or by silero's network, of the package silero-vad.
        energy, silero: settings of that method.
    """

    method: Literal["energy", "silero"]
    energy: EnergySettings = EnergySettings()
    silero: SileroSettings = SileroSettings()

    @model_validator(mode="before")
    @classmethod
    def _in_a_word(cls, given: Any) -> Any:
        return {"method": given} if given in ("energy", "silero") else given

    def conflicts(self) -> Iterator[Conflict]:
        other = "silero" if self.method == "energy" else "energy"
        if getattr(self, other) != type(getattr(self, other))():
            yield Conflict(other, f"is for the method {other}, and the method is {self.method}", ("method", other))

    @model_serializer(mode="wrap")
    def _of_the_method(self, dump: SerializerFunctionWrapHandler) -> dict[str, Any]:
        """Leave out the other method, whose defaults may change."""
        return {name: value for name, value in dump(self).items() if name in ("method", self.method)}


def silero_file() -> Path:
    """Return the file of silero's network.

    Raises:
        ConfigError: the package silero-vad is not installed, or lacks it.
    """
    return packaged_file("silero-vad", "silero_vad_16k_sequence.onnx", "silero")


def _as_null(given: object) -> object:
    return None if given == "none" else given


Vad = Annotated[
    VadSettings | None,
    BeforeValidator(_as_null),
    Takes("none, energy, silero or a section (method, energy, silero)"),
]


def floor_conflicts(vad: VadSettings | None, min_speech_s: float | None) -> Iterator[Conflict]:
    """Yield what is wrong with a floor of speech where nothing tells speech."""
    if min_speech_s is not None and vad is None:
        yield Conflict("min_speech_s", "needs vad: energy or silero, to tell speech", ("min_speech_s", "vad"))
