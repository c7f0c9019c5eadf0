"""Voice activity by silero's network: the ONNX file in the wheel of silero-vad, of which nothing is imported.

The network gives a probability for every 32 ms; what is made of them is what silero_vad.get_speech_timestamps does.

Shapes: T samples, F windows.
"""

from collections.abc import Iterable
from functools import cached_property
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray

from reseed.stages.audio.decode import Waveform
from reseed.stages.audio.vad.blocks import RATE_HZ, even_blocks
from reseed.stages.audio.vad_settings import SileroSettings, silero_file
from reseed.store import ModelError

WINDOW = 512
_CONTEXT = 64  # samples of the window before, which the network sees too
_STATE = 128
_HYSTERESIS, _LEAST_THRESHOLD = 0.15, 0.01

Span = tuple[int, int]


class Silero:
    """The network; threads may share it.

    Raises:
        ConfigError: it is not installed.
    """

    def __init__(self, settings: SileroSettings) -> None:
        self._settings, self.path = settings, silero_file()

    def __call__(self, blocks: Iterable[Waveform]) -> list[Span]:
        """Return where speech begins and ends, in samples at RATE_HZ, of a waveform that comes in blocks.

        Raises:
            ModelError: its file is damaged.
        """
        found, samples = [], 0
        state = {name: np.zeros((1, 1, _STATE), np.float32) for name in "hc"}
        before_T = np.zeros(_CONTEXT, np.float32)
        for block_T in even_blocks(blocks):
            samples += len(block_T)
            window_FT = np.pad(block_T, (0, -len(block_T) % WINDOW)).reshape(-1, WINDOW)
            context_FT = np.concatenate([before_T[None], window_FT[:-1, -_CONTEXT:]])
            given = {"input": np.concatenate([context_FT, window_FT], axis=1), **state}
            chance_F, state["h"], state["c"] = self._session.run(["speech_probs", "hn", "cn"], given)
            before_T = window_FT[-1, -_CONTEXT:]
            found.append(chance_F.reshape(-1))
        return spans(np.concatenate(found), samples, self._settings) if found else []

    @cached_property
    def _session(self) -> Any:
        import onnxruntime  # takes its time, and energy needs none

        options = onnxruntime.SessionOptions()
        options.inter_op_num_threads = options.intra_op_num_threads = 1
        try:
            return onnxruntime.InferenceSession(str(self.path), options, providers=["CPUExecutionProvider"])
        except Exception as error:  # onnxruntime's exceptions share no base
            reason = " ".join(str(error).split())
            text = f"{self.path} is no network that onnxruntime can run ({reason}); install silero-vad again"
            raise ModelError(text) from error


def spans(chance_F: NDArray[np.float32], samples: int, settings: SileroSettings) -> list[Span]:
    """Return where speech begins and ends, in samples, by the probabilities of its windows."""
    leave = max(settings.threshold - _HYSTERESIS, _LEAST_THRESHOLD)
    found: list[Span] = []
    start: int | None = None  # where speech began
    silent: int | None = None  # where it may have ended
    for number, chance in enumerate(chance_F.tolist()):
        place = WINDOW * number
        if chance >= settings.threshold:
            start, silent = place if start is None else start, None
        elif chance < leave and start is not None:
            silent = place if silent is None else silent
            if place - silent >= RATE_HZ * settings.shortest_silence_s:
                found.append((start, silent))
                start = silent = None
    if start is not None:
        found.append((start, samples))
    kept = [(start, stop) for start, stop in found if stop - start > RATE_HZ * settings.shortest_speech_s]
    return _padded(kept, samples, int(RATE_HZ * settings.padding_s))


def _padded(found: list[Span], samples: int, padding: int) -> list[Span]:
    """Widen stretches of speech; what lies between two that then would meet is shared out between them."""
    if not found:
        return []
    gaps = [after[0] - before[1] for before, after in pairwise(found)]
    shares = [gap // 2 if gap < 2 * padding else padding for gap in gaps]
    starts = [max(0, start - share) for (start, _), share in zip(found, [padding, *shares], strict=True)]
    stops = [min(samples, stop + share) for (_, stop), share in zip(found, [*shares, padding], strict=True)]
    return list(zip(starts, stops, strict=True))
