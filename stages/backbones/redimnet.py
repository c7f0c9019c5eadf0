"""ReDimNet, which reshapes its maps between planes (bands x frames) and rows (channels x frames) from stage to stage.

Yakovlev et al., "Reshape dimensions network for speaker recognition" (arXiv 2407.18223); code IDRnD/redimnet, whose
names of weights are kept here. B0 to B6 differ in their sizes and in the block of their planes.

Shapes: B batch, T samples, M mel bands, F frames, C channels, W = C M at every stage, D embedding dimension.
"""

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from reseed.stages.backbones.base import StagedBackbone
from reseed.stages.backbones.features import SAMPLE_RATE_HZ, filterbank, mel_spectrogram
from reseed.stages.backbones.redimnet_blocks import (
    EPS,
    ChannelNorm,
    PlaneBlock,
    TimeContext,
    ToPlane,
    ToRow,
    WeightedSum,
)
from reseed.stages.backbones.settings import ReDimNetConfig
from reseed.stages.backbones.weights import Checkpoint, load_pickled
from reseed.store import ModelError

VARIANCE_FLOOR = 1e-7
ATTENTION_CHANNELS = 128
# What a released file says of its network and does not follow from its weights: other values are not built here.
KNOWN: dict[str, tuple[Any, ...]] = {
    "block_2d_type": ("convnext_like", "basic_resnet", "basic_resnet_fwse"),
    "feat_type": ("pt", "pt_mel"),
    "hop_length": (160,),
    "pooling_func": ("ASTP",),
    "tf_optimized_arch": (False,),
    "spec_params.do_preemph": (True,),
    "spec_params.f_max": (7600,),
    "spec_params.f_min": (20,),
    "spec_params.n_fft": (512,),
    "spec_params.norm_signal": (False,),
    "spec_params.sample_rate": (16_000,),
    "spec_params.spec_norm": ("mn",),
    "spec_params.win_length": (400,),
}


class ReDimNet(StagedBackbone):
    """60 or 72 log-mel bands less their means, five or six stages, attentive mean and deviation; D = 192.

    All sizes follow from the weights. Embeddings are of any length.
    """

    name = "redimnet"
    Config = ReDimNetConfig
    sample_rate_hz = SAMPLE_RATE_HZ
    landmarks = ("backbone.stem.0.weight", "backbone.fin_wght1d.w", "pool.linear2.weight")

    def __init__(self, config: ReDimNetConfig) -> None:
        super().__init__()
        checkpoint = Checkpoint.read(config.weights, type(self))
        check_words(config.weights)
        # The layers that classified the speakers of the training may be stored with the network.
        state = {name: tensor for name, tensor in checkpoint.state.items() if not name.startswith("cls_head.")}
        checkpoint = replace(checkpoint, state=state)
        self.weights_sha256 = checkpoint.sha256
        self.embedding_dim = checkpoint.size("linear.weight")
        channels, width = checkpoint.size("backbone.stem.0.weight"), checkpoint.size("backbone.fin_wght1d.w", 2)
        bands = max(1, width // channels)
        features = mel_spectrogram(n_mels=bands, f_min=20.0, f_max=7600.0)
        # One within the other, as published: a method of this class is called `pool`, as some weights are.
        self.network = nn.ModuleDict(
            {
                "spec": nn.ModuleDict({"torchfbank": nn.Sequential(nn.Identity(), *features)}),
                "backbone": Trunk(checkpoint, channels, bands),
                "pool": AttentivePooling(width, checkpoint.size("pool.linear1.weight", 1) > width),
                "bn": nn.BatchNorm1d(2 * width),
                "linear": nn.Linear(2 * width, self.embedding_dim),
            }
        )
        if "bn2.weight" in state:
            self.network["bn2"] = nn.BatchNorm1d(self.embedding_dim)
        checkpoint.load_into(self.network, recomputed=("spec.",))

    def identity(self) -> dict[str, Any]:
        features = "log-mel 20..7600 Hz, 25/10 ms, Hamming, pre-emphasis 0.97, less the mean"
        return {"backbone": self.name, "weights_sha256": self.weights_sha256, "features": features}

    def spectrum(self, waveform_BT: Tensor) -> Tensor:
        """Return power in mel bands [B, M, F]."""
        spectrum_BMF: Tensor = self._fbank(waveform_BT)
        return spectrum_BMF

    def features_of_log(self, log_BMF: Tensor) -> Tensor:
        """Return log-mel bands [B, M, F], each of mean 0 over time."""
        return log_BMF - log_BMF.mean(dim=2, keepdim=True)

    @property
    def filterbank_HM(self) -> Tensor:
        return filterbank(self._fbank)

    @property
    def _fbank(self) -> nn.Sequential:
        whole = self.network.get_submodule("spec.torchfbank")
        assert isinstance(whole, nn.Sequential)
        return nn.Sequential(*list(whole)[1:])

    def activations(self, feature_BMF: Tensor) -> Tensor:
        """Return the weighted sum of all stages' outputs, [B, W, F]."""
        return self.network["backbone"](feature_BMF).float()  # also under autocast: the pooling squares

    def pool(self, activation: Tensor) -> Tensor:
        """Return the embedding of attentive mean and deviation over time."""
        embedding_BD = self.network["linear"](self.network["bn"](self.network["pool"](activation)))
        return self.network["bn2"](embedding_BD) if "bn2" in self.network else embedding_BD


class Trunk(nn.Module):
    """Stages, each of which sees the outputs of all before it; [B, M, F] -> [B, W, F]."""

    def __init__(self, checkpoint: Checkpoint, channels: int, bands: int) -> None:
        super().__init__()
        width = channels * bands
        self.stem = nn.Sequential(nn.Conv2d(1, channels, 3, padding="same"), ChannelNorm(channels), ToRow())
        self.stages = checkpoint.size("backbone.fin_wght1d.w", 1) - 1
        for number in range(self.stages):
            stage, channels, bands = _stage(checkpoint, number, channels, bands)
            self.add_module(f"stage{number}", stage)
        self.fin_wght1d = WeightedSum(self.stages + 1, width)

    def forward(self, feature_BMF: Tensor) -> Tensor:
        outputs = [self.stem(feature_BMF[:, None])]
        for number in range(self.stages):
            outputs.append(self.get_submodule(f"stage{number}")(outputs))
        return self.fin_wght1d(outputs)


def _stage(checkpoint: Checkpoint, number: int, channels: int, bands: int) -> tuple[nn.Sequential, int, int]:
    """Return a stage as the names and shapes of its weights say, and channels and bands of its planes."""
    at, width = f"backbone.stage{number}", channels * bands
    wide, stride = (checkpoint.size(f"{at}.2.weight", axis) for axis in (0, 2))
    layers: list[nn.Module] = [
        WeightedSum(number + 1, width if number else 1),
        ToPlane(bands, channels),
        nn.Conv2d(channels, wide, (stride, 1), stride=(stride, 1)),
    ]
    channels, bands = stride * channels, max(1, bands // stride)
    while any(name.startswith(f"{at}.{len(layers)}.conv_block.") for name in checkpoint.state):
        layers.append(PlaneBlock(checkpoint, f"{at}.{len(layers)}.conv_block", wide, bands))
    if wide != channels:
        group = checkpoint.size(f"{at}.{len(layers)}.0.weight", 1)
        groups = max(1, wide // group)
        narrowing = nn.Conv2d(wide, channels, 3, padding="same", groups=groups if channels % groups == 0 else 1)
        norm = nn.BatchNorm2d(channels, eps=EPS)
        layers.append(nn.Sequential(narrowing, norm, nn.GELU(), nn.Conv2d(channels, channels, 1)))
    layers.append(ToRow())
    context = f"{at}.{len(layers)}.red_dim_conv.0.weight"
    if context in checkpoint.state:
        layers.append(TimeContext(width, checkpoint.size(context)))
    return nn.Sequential(*layers), channels, bands


class AttentivePooling(nn.Module):
    """Mean and deviation over frames by a weight per channel: [B, W, F] -> [B, 2 W].

    Args:
        sees_context: the attention sees each frame beside the mean and deviation of its utterance.
    """

    def __init__(self, width: int, sees_context: bool) -> None:
        super().__init__()
        self.linear1 = nn.Conv1d(3 * width if sees_context else width, ATTENTION_CHANNELS, kernel_size=1)
        self.linear2 = nn.Conv1d(ATTENTION_CHANNELS, width, kernel_size=1)
        self.sees_context = sees_context

    def forward(self, row_BWF: Tensor) -> Tensor:
        seen = row_BWF
        if self.sees_context:
            mean_BW1 = row_BWF.mean(dim=2, keepdim=True)
            deviation_BW1 = (row_BWF.var(dim=2, keepdim=True) + VARIANCE_FLOOR).sqrt()
            seen = torch.cat([row_BWF, mean_BW1.expand_as(row_BWF), deviation_BW1.expand_as(row_BWF)], dim=1)
        weight_BWF = self.linear2(self.linear1(seen).tanh()).softmax(dim=2)
        mean_BW = (weight_BWF * row_BWF).sum(dim=2)
        variance_BW = (weight_BWF * row_BWF.square()).sum(dim=2) - mean_BW.square()
        return torch.cat([mean_BW, variance_BW.clamp(min=VARIANCE_FLOOR).sqrt()], dim=1)


def check_words(path: Path) -> None:
    """Refuse a file whose own words on its network (`model_config`) name what is not built here.

    Raises:
        ModelError: says what.
    """
    held = {} if path.suffix == ".safetensors" else load_pickled(path)
    words = _mapping(_mapping(held).get("model_config"))
    for key, allowed in KNOWN.items():
        section, _, name = key.rpartition(".")
        said = _mapping(words.get(section)) if section else words
        if name in said and not (isinstance(said[name], str | int | float) and said[name] in allowed):
            raise ModelError(
                f"{path}: its model_config says {key}={said[name]!r}, but this is built for {allowed[0]!r}"
            )


def _mapping(held: object) -> Mapping[str, Any]:
    return held if isinstance(held, Mapping) else {}
