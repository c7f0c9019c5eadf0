"""`reseed denoise`: write what a front end leaves of recordings, for listening. The mask is put on their own spectrum.

Shapes: T samples, H frequencies, M bands, F frames.
"""

from pathlib import Path

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from reseed.stages.audio.decode import Waveform, read
from reseed.stages.audio.encode import check_writable, write_audio
from reseed.stages.audio.listing import AUDIO_SUFFIXES, audio_files
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
    """Enhance a recording, or every recording of a folder, and return one sentence on it.

    Args:
        source: a file or a folder of audio; output: a file, or a folder that is made like the source, as FLAC.
        frontend: directory of a front end; backbone: the network it stands before.

    Raises:
        ReseedError: no audio there, or the output is the source itself.
        AudioError: the one file that was given cannot be decoded. In a folder such are counted and left out.
        ModelError: the front end cannot be used with the backbone.
    """
    if not source.exists():
        raise ReseedError(f"{source} does not exist; give a recording or a folder of them")
    if source.resolve() == output.resolve():
        raise ReseedError(f"{output} is the source itself; give another place to write to")
    if source.is_file():
        if output.suffix.lower() not in _WRITTEN:
            raise ReseedError(f"{output} is neither {' nor '.join(_WRITTEN)}; choose one of these")
        check_writable(output)
    check_apart([output], [frontend])
    masked = load_frontend(frontend, backbone)[0].frozen(device)
    if source.is_dir():
        return _denoise_folder(source, output, masked)
    write_audio(output, enhanced(read(source, masked.sample_rate_hz), masked), masked.sample_rate_hz)
    return f"{output}: {source} denoised by {masked.name}"


def _denoise_folder(source: Path, output: Path, masked: MaskedBackbone) -> str:
    inside = output.resolve()
    files = [path for path in audio_files(source) if inside not in path.resolve().parents]
    if not files:
        raise ReseedError(f"{source} holds no audio ({', '.join(sorted(AUDIO_SUFFIXES))})")
    for path in files:
        check_writable(_target(output, source, path))
    bad = []
    with atomic_files(output) as staged:
        for path in files:
            try:
                waveform_T = read(path, masked.sample_rate_hz)
            except AudioError as error:
                bad.append(f"{path} {error}")
                continue
            write_audio(_target(staged, source, path), enhanced(waveform_T, masked), masked.sample_rate_hz)
    if len(bad) == len(files):
        raise AudioError(f"none of the {len(files)} recordings of {source} can be decoded, e.g. {bad[0]}")
    left = f"; {len(bad)} left out, e.g. {bad[0]}" if bad else ""
    return f"{output}: {len(files) - len(bad)} recordings denoised by {masked.name}{left}"


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


def _target(output: Path, source: Path, path: Path) -> Path:
    """Return where a recording is written, with its own suffix too: a.wav and a.mp3 are two recordings."""
    target = output / path.relative_to(source)
    return target.with_name(f"{target.name}.flac")
