"""What a channel does to a waveform: telephone bandwidth, companding, and the codecs that soundfile carries.

Shapes: B batch, T samples.
"""

import io

import numpy as np
import soundfile
from torch import Tensor
from torchaudio.functional import mu_law_decoding, mu_law_encoding, resample

from reseed.stages.audio.decode import Waveform, resampled
from reseed.store import ConfigError

TELEPHONE_HZ = 8_000
_CONTAINERS = {
    "mp3": ("MP3", "MPEG_LAYER_III"),
    "opus": ("OGG", "OPUS"),
    "vorbis": ("OGG", "VORBIS"),
    "gsm": ("WAV", "GSM610"),
}


def telephony(waveform_BT: Tensor, sample_rate_hz: int) -> Tensor:
    """Return waveforms [B, T] as they come out of a channel sampled at 8 kHz."""
    narrow_BT = resample(waveform_BT, sample_rate_hz, TELEPHONE_HZ)
    wide_BT: Tensor = resample(narrow_BT, TELEPHONE_HZ, sample_rate_hz)
    return wide_BT[:, : waveform_BT.shape[1]]


def mu_law(waveform_BT: Tensor) -> Tensor:
    """Return waveforms [B, T] after 8-bit companding (ITU-T G.711, mu-law)."""
    companded_BT: Tensor = mu_law_decoding(mu_law_encoding(waveform_BT.clamp(-1, 1), 256), 256)
    return companded_BT


def transcode(waveform_T: Waveform, sample_rate_hz: int, codec: str) -> Waveform:
    """Return a waveform [T] encoded and decoded by "mp3", "opus", "vorbis" or "gsm" (at 8 kHz).

    Raises:
        ConfigError: the installed libsndfile does not have that codec at that rate.
    """
    container, subtype = _CONTAINERS[codec]
    rate = TELEPHONE_HZ if codec == "gsm" else sample_rate_hz
    encoded, full_scale_T = io.BytesIO(), resampled(waveform_T, sample_rate_hz, rate).clip(-1, 1)
    try:
        soundfile.write(encoded, full_scale_T, rate, format=container, subtype=subtype)
        decoded_T, _ = soundfile.read(io.BytesIO(encoded.getvalue()), dtype="float32")
    except (soundfile.LibsndfileError, ValueError) as error:
        version = soundfile.__libsndfile_version__
        raise ConfigError(f"libsndfile {version} cannot encode {codec} at {rate} Hz ({error}); leave it out") from error
    transcoded_T = resampled(decoded_T, rate, sample_rate_hz)[: len(waveform_T)]
    return np.pad(transcoded_T, (0, len(waveform_T) - len(transcoded_T)))
