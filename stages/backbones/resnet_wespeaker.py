"""The residual networks of WeSpeaker, of 18 to 293 layers, from its checkpoints and from its ONNX exports.

Wang et al., "Wespeaker" (arXiv 2210.17016); code wenet-e2e/wespeaker, whose names of weights are kept here. An export
has its normalisations folded into the convolutions, which then have biases; it is trained further without any.

Shapes: B batch, T samples, M mel bands, F frames, C channels, D embedding dimension.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from reseed.stages.backbones.kaldi import KaldiBackbone
from reseed.stages.backbones.onnx_graph import read_graph
from reseed.stages.backbones.pooling import mean_and_deviation
from reseed.stages.backbones.settings import ResNet34WeSpeakerConfig
from reseed.stages.backbones.weights import Checkpoint, present
from reseed.store import ModelError
from reseed.store.atomic import sha256_once

VARIANCE_FLOOR = 1e-7
# Blocks of each layer, and whether they are bottlenecks: ResNet18, 34, 50, 101, 152, 221, 293.
LAYOUTS = (
    ((2, 2, 2, 2), False),
    ((3, 4, 6, 3), False),
    ((3, 4, 6, 3), True),
    ((3, 4, 23, 3), True),
    ((3, 8, 36, 3), True),
    ((6, 16, 48, 3), True),
    ((10, 20, 64, 3), True),
)


class ResNet34WeSpeaker(KaldiBackbone):
    """80 Kaldi bands less their means, residual blocks, mean and deviation over time; D = 256.

    Depth, kind of block and all other sizes follow from the weights. Embeddings are of any length; an export may
    subtract a mean from them.
    """

    name = "resnet34_wespeaker"
    Config = ResNet34WeSpeakerConfig
    window, scale, least_frames = "hamming", 32768.0, 9
    landmarks = ("conv1.weight", "layer4.1.conv2.weight", "seg_1.weight")

    mean_vec: Tensor

    def __init__(self, config: ResNet34WeSpeakerConfig, checkpoint: Checkpoint | None = None) -> None:
        super().__init__()
        checkpoint = checkpoint or _read(config.weights)
        state, width = checkpoint.state, checkpoint.size("conv1.weight")
        is_folded = "conv1.bias" in state
        block = Bottleneck if "layer1.0.conv3.weight" in state else BasicBlock
        last = 8 * width * block.expansion
        self.embedding_dim = checkpoint.size("seg_1.weight")
        rows = max(1, checkpoint.size("seg_1.weight", 1) // (2 * last))
        self.build_fbank(checkpoint, 8 * rows)
        self.conv1, self.bn1 = _convolution(1, width, 3, is_folded), _norm(width, is_folded)
        counts, wide = _blocks(state), block.expansion * width
        self.layer1 = _layer(block, counts[0], width, width, 1, is_folded)
        self.layer2 = _layer(block, counts[1], wide, 2 * width, 2, is_folded)
        self.layer3 = _layer(block, counts[2], 2 * wide, 4 * width, 2, is_folded)
        self.layer4 = _layer(block, counts[3], 4 * wide, 8 * width, 2, is_folded)
        self.seg_1 = nn.Linear(2 * last * rows, self.embedding_dim)
        self.has_second = "seg_2.weight" in state
        if self.has_second:
            self.seg_bn_1 = nn.BatchNorm1d(self.embedding_dim, affine=False)
            self.seg_2 = nn.Linear(self.embedding_dim, self.embedding_dim)
        self.register_buffer("mean_vec", torch.zeros(self.embedding_dim))
        checkpoint.load_into(self, recomputed=("mean_vec",))
        if width % 16 == 0:  # gradients of fewer channels are written beside their place by PyTorch 2.13
            # The convolutions are 1.2 times as fast on a CPU if the channels of a point lie side by side.
            nn.utils.convert_conv2d_weight_memory_format(self, torch.channels_last)

    def activations(self, feature_BMF: Tensor) -> Tensor:
        """Return what the last residual layer gives: [B, C, M / 8, F / 8]."""
        map_BCMF = F.relu(self.bn1(self.conv1(feature_BMF[:, None])), inplace=True)
        map_BCMF = self.layer4(self.layer3(self.layer2(self.layer1(map_BCMF))))
        return map_BCMF.float()  # also under autocast: the pooling squares

    def pool(self, activation: Tensor) -> Tensor:
        """Return the embedding of mean and deviation (unbiased) over time."""
        embedding_BD = self.seg_1(mean_and_deviation(activation, VARIANCE_FLOOR))
        if self.has_second:
            embedding_BD = self.seg_2(self.seg_bn_1(F.relu(embedding_BD)))
        return embedding_BD - self.mean_vec


class BasicBlock(nn.Module):
    """Two 3x3 convolutions and a shortcut; [B, C, M, F]."""

    expansion = 1

    def __init__(self, n_in: int, n: int, stride: int, is_folded: bool) -> None:
        super().__init__()
        self.conv1, self.bn1 = _convolution(n_in, n, 3, is_folded, stride), _norm(n, is_folded)
        self.conv2, self.bn2 = _convolution(n, n, 3, is_folded), _norm(n, is_folded)
        self.shortcut = _shortcut(n_in, n, stride, is_folded)

    def forward(self, map_BCMF: Tensor) -> Tensor:
        out_BCMF = F.relu(self.bn1(self.conv1(map_BCMF)), inplace=True)
        return F.relu(self.bn2(self.conv2(out_BCMF)) + self.shortcut(map_BCMF), inplace=True)


class Bottleneck(nn.Module):
    """Convolutions of 1x1, 3x3 and 1x1, the last to four times the channels, and a shortcut; [B, C, M, F]."""

    expansion = 4

    def __init__(self, n_in: int, n: int, stride: int, is_folded: bool) -> None:
        super().__init__()
        n_out = self.expansion * n
        self.conv1, self.bn1 = _convolution(n_in, n, 1, is_folded), _norm(n, is_folded)
        self.conv2, self.bn2 = _convolution(n, n, 3, is_folded, stride), _norm(n, is_folded)
        self.conv3, self.bn3 = _convolution(n, n_out, 1, is_folded), _norm(n_out, is_folded)
        self.shortcut = _shortcut(n_in, n_out, stride, is_folded)

    def forward(self, map_BCMF: Tensor) -> Tensor:
        out_BCMF = F.relu(self.bn1(self.conv1(map_BCMF)), inplace=True)
        out_BCMF = F.relu(self.bn2(self.conv2(out_BCMF)), inplace=True)
        return F.relu(self.bn3(self.conv3(out_BCMF)) + self.shortcut(map_BCMF), inplace=True)


def _layer(
    block: type[BasicBlock | Bottleneck], blocks: int, n_in: int, n: int, stride: int, is_folded: bool
) -> nn.Sequential:
    first = block(n_in, n, stride, is_folded)
    return nn.Sequential(first, *(block(block.expansion * n, n, 1, is_folded) for _ in range(blocks - 1)))


def _shortcut(n_in: int, n_out: int, stride: int, is_folded: bool) -> nn.Sequential:
    if stride == 1 and n_in == n_out:
        return nn.Sequential()
    return nn.Sequential(_convolution(n_in, n_out, 1, is_folded, stride), _norm(n_out, is_folded))


def _convolution(n_in: int, n_out: int, kernel_size: int, is_folded: bool, stride: int = 1) -> nn.Conv2d:
    return nn.Conv2d(n_in, n_out, kernel_size, stride, padding=kernel_size // 2, bias=is_folded)


def _norm(channels: int, is_folded: bool) -> nn.Module:
    return nn.Identity() if is_folded else nn.BatchNorm2d(channels)


def _blocks(state: Mapping[str, Tensor]) -> list[int]:
    return [sum(f"layer{layer}.{block}.conv1.weight" in state for block in range(64)) for layer in range(1, 5)]


def _read(path: Path) -> Checkpoint:
    if path.suffix == ".onnx":
        path = present(path)
        return Checkpoint(path, ResNet34WeSpeaker, sha256_once(path), exported_state(path))
    checkpoint = Checkpoint.read(path, ResNet34WeSpeaker)
    # The layer that classified the speakers of the training is stored with the network.
    state = {name: tensor for name, tensor in checkpoint.state.items() if not name.startswith("projection.")}
    return replace(checkpoint, state=state)


def exported_state(path: Path) -> dict[str, Tensor]:
    """Return the weights of an export under the names of WeSpeaker's code.

    Where normalisations are folded the export has names of its own; convolutions are then told by their order.

    Raises:
        ModelError: it is no export of a residual network, or cannot be read.
    """
    graph = read_graph(path)
    tensors = {name.removeprefix("model."): tensor for name, tensor in graph.tensors.items()}
    if graph.taken_by("BatchNormalization"):
        return tensors
    convolutions, linear = graph.taken_by("Conv"), graph.taken_by("Gemm")
    layouts = {len(names): names for names in (list(_convolution_names(*layout)) for layout in LAYOUTS)}
    if len(convolutions) not in layouts or len(linear) != 1:
        raise ModelError(
            f"{path} is no export of WeSpeaker's residual networks: it has {len(convolutions)} convolutions and "
            f"{len(linear)} linear layers; use the backbone onnx, which runs any"
        )
    named = dict(zip([*layouts[len(convolutions)], "seg_1"], [*convolutions, *linear], strict=True))
    renamed = {
        taken: f"{name}.{part}"
        for name, inputs in named.items()
        for taken, part in zip(inputs, ("weight", "bias"), strict=False)
    }
    return {renamed.get(name, name): tensor for name, tensor in graph.tensors.items()}


def _convolution_names(blocks: Sequence[int], is_bottleneck: bool) -> Iterator[str]:
    """Yield the names of all convolutions in the order in which they are computed."""
    yield "conv1"
    for layer, count in enumerate(blocks, start=1):
        for block in range(count):
            for number in range(1, 4 if is_bottleneck else 3):
                yield f"layer{layer}.{block}.conv{number}"
            if block == 0 and (layer > 1 or is_bottleneck):
                yield f"layer{layer}.{block}.shortcut.0"


def untrained_sizes(dimensions: int, bands: int, width: int = 32) -> dict[str, tuple[int, ...]]:
    """Return the shapes of tensors from which an untrained network of 34 layers is built."""
    names = (f"{name}.weight" for name in _convolution_names(*LAYOUTS[1]))
    return dict.fromkeys(names, (width,)) | {"seg_1.weight": (dimensions, 2 * width * bands)}
