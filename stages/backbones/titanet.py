"""TitaNet, depthwise separable convolutions with squeeze-excitation and attentive pooling, as NVIDIA's NeMo has it.

Koluguri et al., "TitaNet: neural model for speaker representation with 1D depth-wise separable convolutions and global
context" (arXiv 2110.04410); code NVIDIA/NeMo, whose names of weights are kept here.

Shapes: B batch, T samples, M mel bands, F frames (T // 160), C channels, D embedding dimension.
"""

import reprlib
from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torchaudio.functional import melscale_fbanks

from reseed.stages.backbones import nemo
from reseed.stages.backbones.base import StagedBackbone
from reseed.stages.backbones.features import LEAST_SAMPLES, SAMPLE_RATE_HZ, repeated
from reseed.stages.backbones.settings import TitaNetConfig
from reseed.stages.backbones.weights import Checkpoint
from reseed.store import ModelError

N_FFT, WINDOW, HOP = 512, 400, 160
PRE_EMPHASIS = 0.97
LOG_OFFSET = 2.0**-24
DEVIATION_OFFSET = 1e-5
VARIANCE_FLOOR = 1e-10
EPS = 1e-3
SHOWN = 80
RUN = 5  # entries of a convolution in NeMo's list: depthwise, pointwise, normalisation, ReLU, dropout
# What an archive says of its network and does not follow from its weights: other values are not built here.
KNOWN: dict[str, dict[str, tuple[Any, ...]]] = {
    "preprocessor": {
        "sample_rate": (SAMPLE_RATE_HZ,),
        "window_size": (WINDOW / SAMPLE_RATE_HZ,),
        "window_stride": (HOP / SAMPLE_RATE_HZ,),
        "window": ("hann",),
        "normalize": ("per_feature",),
        "n_fft": (N_FFT,),
        "preemph": (PRE_EMPHASIS,),
        "lowfreq": (0,),
        "highfreq": (None, SAMPLE_RATE_HZ // 2),
        "log": (True,),
        "log_zero_guard_type": ("add",),
        "log_zero_guard_value": (LOG_OFFSET,),
        "mag_power": (2,),
        "exact_pad": (False,),
        "frame_splicing": (1,),
        "mel_norm": ("slaney",),
    },
    "encoder": {"activation": ("relu",), "normalization_mode": ("batch",), "residual_mode": ("add",)},
    "decoder": {"pool_mode": ("attention",)},
}
KNOWN_BLOCK: dict[str, tuple[Any, ...]] = {
    "stride": ([1], 1),
    "dilation": ([1], 1),
    "groups": (1,),
    "heads": (-1,),
    "se_context_size": (-1,),
    "residual_mode": ("add",),
    "residual_dense": (False,),
    "future_context": (-1,),
}


class TitaNet(StagedBackbone):
    """80 log-mel bands normalised over time, five blocks, attentive mean and deviation; D = 192.

    Small, medium and large are told by their weights. Embeddings are of any length. NeMo's dither and dropout belong to
    its training, and are not applied in ours.
    """

    name = "titanet"
    Config = TitaNetConfig
    sample_rate_hz = SAMPLE_RATE_HZ
    landmarks = (
        "encoder.encoder.0.mconv.1.conv.weight",
        "decoder._pooling.attention_layer.2.weight",
        "decoder.emb_layers.0.1.weight",
    )

    def __init__(self, config: TitaNetConfig) -> None:
        super().__init__()
        checkpoint = Checkpoint.read(config.weights, type(self))
        check_words(config.weights)
        # The layer that classified the speakers of the training is stored with the network.
        state = {name: tensor for name, tensor in checkpoint.state.items() if not name.startswith("decoder.final.")}
        checkpoint = replace(checkpoint, state=state)
        self.weights_sha256 = checkpoint.sha256
        self.embedding_dim = checkpoint.size("decoder.emb_layers.0.1.weight")
        bands = MelBands(checkpoint.size("encoder.encoder.0.mconv.0.conv.weight"))
        self.preprocessor = nn.ModuleDict({"featurizer": bands})
        numbers = range(len({name.split(".")[2] for name in state if name.startswith("encoder.encoder.")}))
        blocks = nn.Sequential(*(Block(checkpoint, f"encoder.encoder.{number}") for number in numbers))
        self.encoder = nn.ModuleDict({"encoder": blocks})
        channels = checkpoint.size("decoder._pooling.attention_layer.2.weight")
        pooling = AttentivePooling(channels, checkpoint.size("decoder._pooling.attention_layer.2.weight", 1))
        last = nn.Sequential(nn.BatchNorm1d(2 * channels), nn.Conv1d(2 * channels, self.embedding_dim, kernel_size=1))
        self.decoder = nn.ModuleDict({"_pooling": pooling, "emb_layers": nn.ModuleList([last])})
        checkpoint.load_into(self, recomputed=("preprocessor.",))

    def identity(self) -> dict[str, Any]:
        features = "log-mel (Slaney) to 8000 Hz, 25/10 ms, Hann, pre-emphasis 0.97, normalised over time"
        return {"backbone": self.name, "weights_sha256": self.weights_sha256, "features": features}

    def spectrum(self, waveform_BT: Tensor) -> Tensor:
        """Return power in mel bands [B, M, F]."""
        power_BMF: Tensor = self._bands(repeated(waveform_BT, LEAST_SAMPLES))
        return power_BMF

    def log_of(self, spectrum_BMF: Tensor) -> Tensor:
        return (spectrum_BMF + LOG_OFFSET).log()

    def features_of_log(self, log_BMF: Tensor) -> Tensor:
        """Return log-mel bands [B, M, F], each of mean 0 and deviation 1 over time."""
        # Of silence the deviation is 0, and its gradient would be none.
        deviation_BM1 = log_BMF.var(dim=2, keepdim=True).clamp(min=DEVIATION_OFFSET**4).sqrt() + DEVIATION_OFFSET
        return (log_BMF - log_BMF.mean(dim=2, keepdim=True)) / deviation_BM1

    @property
    def filterbank_HM(self) -> Tensor:
        return self._bands.fb[0].T

    @property
    def _bands(self) -> "MelBands":
        bands = self.preprocessor["featurizer"]
        assert isinstance(bands, MelBands)
        return bands

    def activations(self, feature_BMF: Tensor) -> Tensor:
        """Return what the last block gives, [B, C, F]."""
        return self.encoder["encoder"](feature_BMF).float()  # also under autocast: the pooling squares

    def pool(self, activation: Tensor) -> Tensor:
        """Return the embedding of attentive mean and deviation over time."""
        pooled_BC1 = self.decoder["_pooling"](activation)[..., None]
        return self.decoder.get_submodule("emb_layers.0")(pooled_BC1).squeeze(2)


class MelBands(nn.Module):
    """Waveforms [B, T] -> power in triangular mel bands of equal area [B, M, F].

    Frames of 25 ms under a symmetric Hann window, centred at every 160th sample from the first, over zeros beyond the
    ends. As many count as hops fit into the waveform: one less than could be centred.
    """

    window: Tensor
    fb: Tensor

    def __init__(self, n_mels: int) -> None:
        super().__init__()
        self.register_buffer("window", torch.hann_window(WINDOW, periodic=False))
        bank_HM = melscale_fbanks(N_FFT // 2 + 1, 0.0, SAMPLE_RATE_HZ / 2, n_mels, SAMPLE_RATE_HZ, "slaney", "slaney")
        self.register_buffer("fb", bank_HM.T[None])

    def forward(self, waveform_BT: Tensor) -> Tensor:
        sharper_BT = torch.cat([waveform_BT[:, :1], waveform_BT[:, 1:] - PRE_EMPHASIS * waveform_BT[:, :-1]], dim=1)
        spectrum_BHF = torch.stft(
            sharper_BT, N_FFT, HOP, WINDOW, self.window, center=True, pad_mode="constant", return_complex=True
        )
        return self.fb @ spectrum_BHF[..., : waveform_BT.shape[1] // HOP].abs().square()


class Block(nn.Module):
    """Separable convolutions with squeeze-excitation, beside a shortcut where there is one; [B, C, F]."""

    def __init__(self, checkpoint: Checkpoint, at: str) -> None:
        super().__init__()
        runs = 1
        while f"{at}.mconv.{RUN * runs}.conv.weight" in checkpoint.state:
            runs += 1
        n_out = checkpoint.size(f"{at}.mconv.1.conv.weight")
        layers: list[nn.Module] = []
        for run in range(runs):
            depthwise = f"{at}.mconv.{RUN * run}.conv.weight"
            n_in, kernel = checkpoint.size(depthwise), checkpoint.size(depthwise, 2)
            layers += [Conv(n_in, n_in, kernel, groups=n_in), Conv(n_in, n_out), nn.BatchNorm1d(n_out, eps=EPS)]
            layers += [nn.ReLU(), nn.Identity()]
        squeezed = checkpoint.size(f"{at}.mconv.{RUN * runs - 2}.fc.0.weight")
        self.mconv = nn.ModuleList([*layers[:-2], SqueezeExcitation(n_out, squeezed)])
        self.res = nn.ModuleList()
        if f"{at}.res.0.0.conv.weight" in checkpoint.state:
            n_in = checkpoint.size(f"{at}.res.0.0.conv.weight", 1)
            self.res.append(nn.Sequential(Conv(n_in, n_out), nn.BatchNorm1d(n_out, eps=EPS)))

    def forward(self, map_BCF: Tensor) -> Tensor:
        out_BCF = map_BCF
        for layer in self.mconv:
            out_BCF = layer(out_BCF)
        for shortcut in self.res:
            out_BCF = out_BCF + shortcut(map_BCF)
        return F.relu(out_BCF)


class Conv(nn.Module):
    """A convolution that keeps the number of frames, whose weight is called `conv.weight`."""

    def __init__(self, n_in: int, n_out: int, kernel: int = 1, groups: int = 1) -> None:
        super().__init__()
        self.conv = nn.Conv1d(n_in, n_out, kernel, padding=kernel // 2, groups=groups, bias=False)

    def forward(self, map_BCF: Tensor) -> Tensor:
        return self.conv(map_BCF)


class SqueezeExcitation(nn.Module):
    """Scales each channel by a factor in 0..1 that depends on the means of all over time."""

    def __init__(self, channels: int, squeezed: int) -> None:
        super().__init__()
        wide, narrow = nn.Linear(squeezed, channels, bias=False), nn.Linear(channels, squeezed, bias=False)
        self.fc = nn.Sequential(narrow, nn.ReLU(), wide, nn.Sigmoid())

    def forward(self, map_BCF: Tensor) -> Tensor:
        return map_BCF * self.fc(map_BCF.mean(dim=2))[..., None]


class AttentivePooling(nn.Module):
    """Mean and deviation over frames by a weight per channel and frame: [B, C, F] -> [B, 2 C]."""

    def __init__(self, channels: int, narrow: int) -> None:
        super().__init__()
        first = nn.ModuleDict({"conv_layer": nn.Conv1d(3 * channels, narrow, 1), "bn": nn.BatchNorm1d(narrow)})
        self.attention_layer = nn.ModuleList([first, nn.Tanh(), nn.Conv1d(narrow, channels, 1)])

    def forward(self, map_BCF: Tensor) -> Tensor:
        every = [statistic[..., None].expand_as(map_BCF) for statistic in self._statistics(map_BCF, None)]
        first, tanh, second = self.attention_layer
        assert isinstance(first, nn.ModuleDict)
        hidden = first["bn"](F.relu(first["conv_layer"](torch.cat([map_BCF, *every], dim=1))))
        return torch.cat(self._statistics(map_BCF, second(tanh(hidden)).softmax(dim=2)), dim=1)

    @staticmethod
    def _statistics(map_BCF: Tensor, weight_BCF: Tensor | None) -> list[Tensor]:
        share = torch.full_like(map_BCF[:, :1], 1 / map_BCF.shape[2]) if weight_BCF is None else weight_BCF
        mean_BC = (share * map_BCF).sum(dim=2)
        variance_BC = (share * (map_BCF - mean_BC[..., None]).square()).sum(dim=2)
        return [mean_BC, variance_BC.clamp(min=VARIANCE_FLOOR).sqrt()]


def check_words(path: Path) -> None:
    """Refuse an archive whose own words on its network (`model_config.yaml`) name what is not built here.

    Raises:
        ModelError: says what.
    """
    if path.suffix != ".nemo":
        return
    try:
        words = nemo.settings(path)
    except Exception as error:  # damaged files fail in as many ways as there are formats
        raise ModelError(f"{path}: its {nemo.CONFIG} cannot be read ({' '.join(str(error).split())})") from error
    for key, value, allowed in _said(words):
        interpolated = isinstance(value, str) and value.startswith("${")
        if value not in allowed and not interpolated:
            said = reprlib.repr(value)[:SHOWN]  # a few lines of YAML may stand for more than fits into memory
            raise ModelError(f"{path}: its {nemo.CONFIG} says {key}={said}, but this is built for {allowed[0]!r}")


def _said(words: Mapping[str, Any]) -> Iterator[tuple[str, Any, tuple[Any, ...]]]:
    """Yield what is said of each of the known settings, and what it may be."""
    for section, known in KNOWN.items():
        said = words.get(section)
        if isinstance(said, Mapping):
            yield from ((f"{section}.{name}", said[name], allowed) for name, allowed in known.items() if name in said)
    encoder = words.get("encoder")
    blocks = encoder.get("jasper") if isinstance(encoder, Mapping) else None
    for number, said in enumerate(blocks if isinstance(blocks, list) else []):
        if isinstance(said, Mapping):
            at = f"encoder.jasper.{number}"
            yield from ((f"{at}.{name}", said[name], allowed) for name, allowed in KNOWN_BLOCK.items() if name in said)
