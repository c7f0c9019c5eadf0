"""`reseed denoise`: write what a front end leaves of recordings, for listening. The mask is put on their own spectrum.

Shapes: T samples, H frequencies, M bands, F frames.
"""

from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from reseed.stages.audio.decode import Waveform, read
from reseed.stages.audio.encode import check_writable, write_audio
from reseed.stages.audio.listed import ListedRecording
from reseed.stages.audio.listing import AUDIO_SUFFIXES, audio_files
from reseed.stages.audio.lists.archived import below, is_archive
from reseed.stages.audio.lists.table import list_recordings
from reseed.stages.audio.location import Location
from reseed.stages.audio.patterns import is_pattern
from reseed.stages.backbones.base import Backbone
from reseed.stages.frontends.folder import load_frontend
from reseed.stages.frontends.masked import MaskedBackbone
from reseed.stages.frontends.unet import STRIDE
from reseed.store import AudioError, ReseedError
from reseed.store.atomic import atomic_files
from reseed.store.outputs import check_apart

HOP_SAMPLES = 160
_WRITTEN = (".flac", ".wav")
BLOCK_S, OVERLAP_S = 20.0, 1.0


def denoise(*, source: Path, output: Path, frontend: Path, backbone: Backbone, device: str = "cpu") -> str:
    """Enhance a recording, or every recording of a folder or of archives, and return one sentence on it.

    Args:
        source: a file or a folder of audio, archives as `reseed prepare` takes them, or a recording in one, as a
            manifest names it; output: a file, or a folder that is made like the source, as FLAC.
        frontend: directory of a front end; backbone: the network it stands before.

    Raises:
        ReseedError: no audio there, or the output is the source itself.
        AudioError: the one file that was given cannot be decoded. In a folder such are counted and left out.
        ModelError: the front end cannot be used with the backbone.
    """
    location = Location.parse(str(source))
    is_one = not (source.is_dir() or is_archive(source) or is_pattern(source))
    if is_one and not location.path.exists():
        raise ReseedError(f"{source} does not exist; give a recording, a folder of them, or archives")
    if source.resolve() == output.resolve():
        raise ReseedError(f"{output} is the source itself; give another place to write to")
    if is_one:
        if output.suffix.lower() not in _WRITTEN:
            raise ReseedError(f"{output} is neither {' nor '.join(_WRITTEN)}; choose one of these")
        check_writable(output)
    check_apart([output], [frontend])
    masked = load_frontend(frontend, backbone)[0].frozen(device)
    if not is_one:
        return _denoise_several(source, output, masked)
    write_audio(output, enhanced(read(location, masked.sample_rate_hz), masked), masked.sample_rate_hz)
    return f"{output}: {source} denoised by {masked.name}"


def _denoise_several(source: Path, output: Path, masked: MaskedBackbone) -> str:
    recordings = _of_folder(source, output) if source.is_dir() else []
    recordings = recordings or _of_archives(source)
    if not recordings:
        raise ReseedError(f"{source} holds no audio ({', '.join(sorted(AUDIO_SUFFIXES))})")
    for recording in recordings:
        check_writable(output / recording.utterance_id)
    bad, written = [], set()
    with atomic_files(output) as staged:
        for recording in recordings:
            name, problem = recording.utterance_id, recording.problem
            try:
                if problem or name in written:
                    raise AudioError(problem or f"is another recording called {name}")
                where, stretch = Location.of(recording.path), (recording.start_s, recording.duration_s)
                waveform_T = read(where, masked.sample_rate_hz, *stretch)
            except AudioError as error:
                bad.append(f"{recording.path} {error}")
                continue
            write_audio(staged / name, enhanced(waveform_T, masked), masked.sample_rate_hz)
            written.add(name)
    if not written:
        raise AudioError(f"none of the {len(recordings)} recordings of {source} can be decoded, e.g. {bad[0]}")
    left = f"; {len(bad)} left out, e.g. {bad[0]}" if bad else ""
    return f"{output}: {len(written)} recordings denoised by {masked.name}{left}"


def _of_folder(source: Path, output: Path) -> list[ListedRecording]:
    """Return recordings, and as ids the names of what they become: with their own suffixes, for a.wav is not a.mp3."""
    inside = output.resolve()
    files = (path for path in audio_files(source) if inside not in path.resolve().parents)
    return [ListedRecording(f"{path.relative_to(source)}.flac", path) for path in files]


def _of_archives(source: Path) -> list[ListedRecording]:
    found = list_recordings(source, speaker_depth=0, split=None)
    return [replace(each, utterance_id=f"{below(each.utterance_id)}.flac") for each in found]


@torch.inference_mode()
def enhanced(waveform_T: Waveform, masked: MaskedBackbone) -> Waveform:
    """Return a recording with the mask put on it, of the same length; block by block, faded into one another."""
    rate = masked.sample_rate_hz
    block, overlap = round(BLOCK_S * rate), round(OVERLAP_S * rate)
    out_T, fade = np.zeros(len(waveform_T), np.float32), np.linspace(0, 1, overlap, dtype=np.float32)
    for start in range(0, max(1, len(waveform_T) - overlap), block - overlap):
        stop = min(len(waveform_T), start + block)
        part_T = _masked(torch.from_numpy(np.ascontiguousarray(waveform_T[start:stop])), masked).numpy()
        if start:
            part_T[:overlap] *= fade
            out_T[start : start + overlap] *= 1 - fade
        out_T[start:stop] += part_T
    return out_T


def gains(mask_MF: Tensor, filterbank_HM: Tensor) -> Tensor:
    """Return the gain of each frequency, [H, F]: the root of the bands' power, as each counts there.

    A frequency that no band hears has the gain of the nearest one that some band does.
    """
    weight_H = filterbank_HM.sum(dim=1)
    heard = torch.nonzero(weight_H > 0)[:, 0]
    power_HF = (filterbank_HM[heard] @ mask_MF) / weight_H[heard, None]
    nearest = (torch.arange(len(weight_H), device=heard.device)[:, None] - heard[None]).abs().argmin(dim=1)
    return power_HF[nearest].sqrt()


def _masked(waveform_T: Tensor, masked: MaskedBackbone) -> Tensor:
    device = next(masked.mask.parameters()).device
    waveform_BT = waveform_T[None].to(device)
    bank_HM = masked.backbone.filterbank_HM
    size = 2 * (len(bank_HM) - 1)
    padded_BT = F.pad(waveform_BT, (0, max(0, max(size, STRIDE * HOP_SAMPLES) - waveform_BT.shape[1])))
    window = torch.hann_window(size, device=device)
    stft_HF = torch.stft(padded_BT[0], size, HOP_SAMPLES, window=window, return_complex=True)
    gain_HF = gains(masked.mask(masked.backbone.spectrum(padded_BT))[0], bank_HM)
    frames = stft_HF.shape[1]
    if gain_HF.shape[1] < frames:  # the backbone hears whole windows, which may leave out the very end
        gain_HF = F.pad(gain_HF, (0, frames - gain_HF.shape[1]), mode="replicate")
    heard_T = torch.istft(stft_HF * gain_HF[:, :frames], size, HOP_SAMPLES, window=window, length=padded_BT.shape[1])
    return heard_T[: len(waveform_T)].cpu()
