"""Checkpoints as they are published, with random weights: names and shapes are written down here one by one.

Nothing is taken from the classes under test, so that a name or a shape that is wrong there does not load.
"""

from collections.abc import Callable, Mapping
from pathlib import Path

import onnx
import torch
import torchaudio
from onnx import TensorProto, helper, numpy_helper
from torch import Tensor

from reseed.stages.backbones.table import BACKBONES
from reseed.stages.common.section import Section

State = dict[str, Tensor]

TINY_TRANSFORMER = {
    "extractor_conv_layer_config": [
        (16, 10, 5),
        (16, 3, 2),
        (16, 3, 2),
        (16, 3, 2),
        (16, 3, 2),
        (16, 2, 2),
        (16, 2, 2),
    ],
    # 16 channels to a group: of 12, oneDNN makes noise in bfloat16 on CPUs with AMX; published networks have 48 or 64.
    "encoder_embed_dim": 32,
    "encoder_pos_conv_kernel": 16,
    "encoder_pos_conv_groups": 2,
    "encoder_num_layers": 3,
    "encoder_num_heads": 2,
    "encoder_ff_interm_features": 64,
}


def filled(shapes: Mapping[str, tuple[int, ...]], seed: int = 0) -> State:
    """Random weights that keep signals near unit size; statistics of normalisations far from 0 and 1."""
    generator = torch.Generator().manual_seed(seed)
    state = {}
    for name, shape in shapes.items():
        if name.endswith("num_batches_tracked"):
            state[name] = torch.tensor(7)
        elif name.endswith("running_var"):
            state[name] = 0.5 + torch.rand(shape, generator=generator)
        elif name.endswith(("running_mean", "bias")):
            state[name] = 0.2 * torch.randn(shape, generator=generator)
        elif len(shape) == 1:
            state[name] = 0.7 + 0.6 * torch.rand(shape, generator=generator)
        else:
            state[name] = torch.randn(shape, generator=generator) / torch.Size(shape[1:]).numel() ** 0.5
    return state


def affine(name: str, *shape: int, bias: bool = True) -> dict[str, tuple[int, ...]]:
    """A convolution or linear layer, its outputs first."""
    return {f"{name}.weight": shape, **({f"{name}.bias": shape[:1]} if bias else {})}


def norm(name: str, channels: int) -> dict[str, tuple[int, ...]]:
    parts = ("weight", "bias", "running_mean", "running_var")
    return {**{f"{name}.{part}": (channels,) for part in parts}, f"{name}.num_batches_tracked": ()}


def resnet_se34v2(dim: int = 512, n_mels: int = 64, pooled: int = 2, seed: int = 0) -> State:
    shapes = {**affine("conv1", 32, 1, 3, 3), **norm("bn1", 32)}
    width = 32
    for layer, (filters, blocks) in enumerate(((32, 3), (64, 4), (128, 6), (256, 3)), start=1):
        for block in range(blocks):
            at = f"layer{layer}.{block}"
            shapes |= affine(f"{at}.conv1", filters, width, 3, 3, bias=False) | norm(f"{at}.bn1", filters)
            shapes |= affine(f"{at}.conv2", filters, filters, 3, 3, bias=False) | norm(f"{at}.bn2", filters)
            shapes |= affine(f"{at}.se.fc.0", filters // 8, filters) | affine(f"{at}.se.fc.2", filters, filters // 8)
            if layer > 1 and block == 0:
                shapes |= affine(f"{at}.downsample.0", filters, width, 1, 1, bias=False)
                shapes |= norm(f"{at}.downsample.1", filters)
            width = filters
    height = 256 * (n_mels // 8)
    shapes |= affine("attention.0", 128, height, 1) | norm("attention.2", 128) | affine("attention.3", height, 128, 1)
    return filled(shapes | affine("fc", dim, pooled * height), seed)


def resnet34_wespeaker(
    width: int = 8, dim: int = 24, blocks: tuple[int, ...] = (3, 4, 6, 3), expansion: int = 1, seed: int = 0
) -> State:
    shapes = affine("conv1", width, 1, 3, 3, bias=False) | norm("bn1", width)
    channels = width
    for layer, count in enumerate(blocks, start=1):
        inner, outer = width * 2 ** (layer - 1), width * 2 ** (layer - 1) * expansion
        for block in range(count):
            at = f"layer{layer}.{block}"
            convolutions = [(channels, inner, 3), (inner, outer, 3)]
            if expansion > 1:
                convolutions = [(channels, inner, 1), (inner, inner, 3), (inner, outer, 1)]
            for number, (n_in, n_out, kernel) in enumerate(convolutions, start=1):
                shapes |= affine(f"{at}.conv{number}", n_out, n_in, kernel, kernel, bias=False)
                shapes |= norm(f"{at}.bn{number}", n_out)
            if channels != outer or (layer > 1 and block == 0):
                shapes |= affine(f"{at}.shortcut.0", outer, channels, 1, 1, bias=False)
                shapes |= norm(f"{at}.shortcut.1", outer)
            channels = outer
    return filled(shapes | affine("seg_1", dim, 2 * 10 * channels), seed)


def eres2net(
    width: int = 8, dim: int = 24, group: float = 0.5, groups: int = 2, expansion: int = 2, seed: int = 0
) -> State:
    shapes = eres2net_trunk(width, dim, group, groups, expansion)
    for layer, fused in enumerate(("12", "123", "1234"), start=1):
        channels = width * expansion * 2**layer
        shapes |= affine(f"layer{layer}_downsample", channels, channels // 2, 3, 3, bias=False)
        shapes |= fusion(f"fuse_mode{fused}", channels)
    return filled(shapes, seed)


def eres2netv2(
    width: int = 8, dim: int = 24, group: float = 0.5, groups: int = 2, expansion: int = 2, seed: int = 0
) -> State:
    channels = 8 * width * expansion
    shapes = eres2net_trunk(width, dim, group, groups, expansion) | fusion("fuse34", channels)
    return filled(shapes | affine("layer3_ds", channels, channels // 2, 3, 3, bias=False), seed)


def eres2net_trunk(width: int, dim: int, group: float, groups: int, expansion: int) -> dict[str, tuple[int, ...]]:
    shapes = affine("conv1", width, 1, 3, 3, bias=False) | norm("bn1", width)
    n_in = width
    for layer, blocks in enumerate((3, 4, 6, 3), start=1):
        planes = width * 2 ** (layer - 1)
        each, n_out = int(group * planes), expansion * planes
        for block in range(blocks):
            at = f"layer{layer}.{block}"
            shapes |= affine(f"{at}.conv1", groups * each, n_in, 1, 1, bias=False) | norm(f"{at}.bn1", groups * each)
            for part in range(groups):
                shapes |= affine(f"{at}.convs.{part}", each, each, 3, 3, bias=False) | norm(f"{at}.bns.{part}", each)
                if layer > 2 and part > 0:
                    shapes |= fusion(f"{at}.fuse_models.{part - 1}", each)
            shapes |= affine(f"{at}.conv3", n_out, groups * each, 1, 1, bias=False) | norm(f"{at}.bn3", n_out)
            if block == 0:
                shapes |= affine(f"{at}.shortcut.0", n_out, n_in, 1, 1, bias=False) | norm(f"{at}.shortcut.1", n_out)
            n_in = n_out
    return shapes | affine("seg_1", dim, 2 * 10 * n_in)


def fusion(name: str, channels: int) -> dict[str, tuple[int, ...]]:
    narrow = channels // 4
    shapes = affine(f"{name}.local_att.0", narrow, 2 * channels, 1, 1) | norm(f"{name}.local_att.1", narrow)
    return shapes | affine(f"{name}.local_att.3", channels, narrow, 1, 1) | norm(f"{name}.local_att.4", channels)


REDIMNET_STAGES = ((1, 2, 1, None), (2, 1, 2, 12), (3, 1, 1, 8))  # stride, blocks, widening, inner width of the context


def redimnet(kind: str = "convnext", channels: int = 4, bands: int = 12, seed: int = 0) -> State:
    """`kind`: convnext, resnet (in groups of two channels), whole (one group), or excited."""
    width, dim = channels * bands, 20
    shapes = affine("backbone.stem.0", channels, 1, 3, 3) | plain_norm("backbone.stem.1", channels)
    for stage, (stride, blocks, widening, inner) in enumerate(REDIMNET_STAGES):
        at, wide = f"backbone.stage{stage}", stride * channels * widening
        shapes[f"{at}.0.w"] = (1, stage + 1, width if stage else 1, 1)
        shapes |= affine(f"{at}.2", wide, channels, stride, 1)
        channels, bands = stride * channels, bands // stride
        for index in range(3, 3 + blocks):
            shapes |= redimnet_plane(f"{at}.{index}.conv_block", kind, wide, bands)
        index = 3 + blocks
        if widening > 1:
            shapes |= affine(f"{at}.{index}.0", channels, wide // (channels // 2), 3, 3)
            shapes |= norm(f"{at}.{index}.1", channels) | affine(f"{at}.{index}.3", channels, channels, 1, 1)
            index += 1
        if inner is not None:
            shapes |= redimnet_context(f"{at}.{index + 1}", width, inner)
    shapes["backbone.fin_wght1d.w"] = (1, len(REDIMNET_STAGES) + 1, width, 1)
    shapes |= affine("pool.linear1", 128, 3 * width, 1) | affine("pool.linear2", width, 128, 1)
    state = filled(shapes | norm("bn", 2 * width) | affine("linear", dim, 2 * width), seed)
    # Other weights of sums than the random ones of a layer, which are divided by the size of what it sees.
    generator = torch.Generator().manual_seed(seed)
    sums = {name: torch.randn(state[name].shape, generator=generator) for name in state if name.endswith(".w")}
    return state | sums


def redimnet_plane(at: str, kind: str, wide: int, bands: int) -> dict[str, tuple[int, ...]]:
    if kind == "convnext":
        shapes = affine(f"{at}.dwconvs.0", wide, 2, 3, 3) | norm(f"{at}.norm", wide)
        return shapes | affine(f"{at}.pwconv1", wide, wide, 1, 1)
    shapes: dict[str, tuple[int, ...]] = {}
    for number in (1, 2):
        group = wide if kind == "whole" else 2
        shapes |= affine(f"{at}.conv{number}", wide, group, 3, 3, bias=False) | norm(f"{at}.bn{number}", wide)
        if kind != "whole":
            shapes |= affine(f"{at}.conv{number}pw", wide, wide, 1, 1)
    if kind == "excited":
        shapes |= affine(f"{at}.se.squeeze", 5, bands) | affine(f"{at}.se.exitation", bands, 5)
    return shapes


def redimnet_context(at: str, width: int, inner: int) -> dict[str, tuple[int, ...]]:
    shapes = affine(f"{at}.red_dim_conv.0", inner, width, 1) | plain_norm(f"{at}.red_dim_conv.1", inner)
    for index, kernel in enumerate((7, 19, 31, 59)):
        shapes |= affine(f"{at}.tcm.{index}.dwconvs.0", inner, 1, kernel) | norm(f"{at}.tcm.{index}.norm", inner)
        shapes |= affine(f"{at}.tcm.{index}.pwconv1", inner, inner, 1)
    for name in ("k_proj", "v_proj", "q_proj", "out_proj"):
        shapes |= affine(f"{at}.tcm.4.attention.{name}", inner, inner)
    for name in ("intermediate_dense", "output_dense"):
        shapes |= affine(f"{at}.tcm.4.feed_forward.{name}", inner, inner)
    shapes |= plain_norm(f"{at}.tcm.4.layer_norm", inner) | plain_norm(f"{at}.tcm.4.final_layer_norm", inner)
    return shapes | affine(f"{at}.exp_dim_conv", width, inner, 1)


def plain_norm(name: str, channels: int) -> dict[str, tuple[int, ...]]:
    """A normalisation without statistics of its training."""
    return {f"{name}.weight": (channels,), f"{name}.bias": (channels,)}


def titanet(channels: int = 16, last: int = 24, dim: int = 20, seed: int = 0) -> State:
    shapes: dict[str, tuple[int, ...]] = {}
    n_in = 80
    for number, (n_out, kernel, repeat) in enumerate(titanet_blocks(channels, last)):
        at = f"encoder.encoder.{number}"
        for run in range(repeat):
            inner, first = n_in if run == 0 else n_out, 5 * run
            shapes |= affine(f"{at}.mconv.{first}.conv", inner, 1, kernel, bias=False)
            shapes |= affine(f"{at}.mconv.{first + 1}.conv", n_out, inner, 1, bias=False)
            shapes |= norm(f"{at}.mconv.{first + 2}", n_out)
        excitation = f"{at}.mconv.{5 * repeat - 2}.fc"
        shapes |= affine(f"{excitation}.0", n_out // 8, n_out, bias=False)
        shapes |= affine(f"{excitation}.2", n_out, n_out // 8, bias=False)
        if repeat > 1:
            shapes |= affine(f"{at}.res.0.0.conv", n_out, n_in, 1, bias=False) | norm(f"{at}.res.0.1", n_out)
        n_in = n_out
    attention = "decoder._pooling.attention_layer"
    shapes |= affine(f"{attention}.0.conv_layer", 128, 3 * last, 1) | norm(f"{attention}.0.bn", 128)
    shapes |= affine(f"{attention}.2", last, 128, 1)
    shapes |= norm("decoder.emb_layers.0.0", 2 * last) | affine("decoder.emb_layers.0.1", dim, 2 * last, 1)
    return filled(shapes | affine("decoder.final", 31, dim, bias=False), seed)


def titanet_blocks(channels: int, last: int) -> list[tuple[int, int, int]]:
    """Channels, kernel and convolutions of each block."""
    return [(channels, 3, 1), (channels, 7, 3), (channels, 11, 3), (channels, 15, 3), (last, 1, 1)]


def ecapa_trunk(channels: int, inputs: int, dim: int) -> dict[str, tuple[int, ...]]:
    shapes = {**affine("conv1", channels, inputs, 5), **norm("bn1", channels)}
    for layer in ("layer1", "layer2", "layer3"):
        shapes |= affine(f"{layer}.conv1", channels, channels, 1) | norm(f"{layer}.bn1", channels)
        for part in range(7):
            shapes |= affine(f"{layer}.convs.{part}", channels // 8, channels // 8, 3)
            shapes |= norm(f"{layer}.bns.{part}", channels // 8)
        shapes |= affine(f"{layer}.conv3", channels, channels, 1) | norm(f"{layer}.bn3", channels)
        shapes |= affine(f"{layer}.se.se.1", 128, channels, 1)
    shapes |= affine("layer4", 1536, 3 * channels, 1) | norm("bn5", 3072)
    return shapes | affine("fc6", dim, 3072) | norm("bn6", dim)


def ecapa_tdnn(channels: int = 32, dim: int = 256, attended: int = 1536, seed: int = 0) -> State:
    shapes = ecapa_trunk(channels, 80, dim)
    for layer in ("layer1", "layer2", "layer3"):
        shapes |= norm(f"{layer}.se.se.3", 128) | affine(f"{layer}.se.se.4", channels, 128, 1)
    shapes |= affine("attention.0", 128, 4608, 1) | norm("attention.2", 128) | affine("attention.3", attended, 128, 1)
    return filled(shapes, seed)


def ecapa_taoruijie(channels: int = 32, seed: int = 0) -> State:
    shapes = ecapa_trunk(channels, 80, 192)
    for layer in ("layer1", "layer2", "layer3"):
        shapes |= affine(f"{layer}.se.se.3", channels, 128, 1)
    shapes |= affine("attention.0", 256, 4608, 1) | norm("attention.2", 256) | affine("attention.4", 1536, 256, 1)
    return filled(shapes, seed)


def ecapa_speechbrain(channels: int = 32, aggregated: int = 96, seed: int = 0) -> State:
    def tdnn(name: str, outputs: int, inputs: int, kernel: int = 1) -> dict[str, tuple[int, ...]]:
        return affine(f"{name}.conv.conv", outputs, inputs, kernel) | norm(f"{name}.norm.norm", outputs)

    shapes = tdnn("blocks.0", channels, 80, 5)
    for block in ("blocks.1", "blocks.2", "blocks.3"):
        shapes |= tdnn(f"{block}.tdnn1", channels, channels) | tdnn(f"{block}.tdnn2", channels, channels)
        for part in range(7):
            shapes |= tdnn(f"{block}.res2net_block.blocks.{part}", channels // 8, channels // 8, 3)
        shapes |= affine(f"{block}.se_block.conv1.conv", 16, channels, 1)
        shapes |= affine(f"{block}.se_block.conv2.conv", channels, 16, 1)
    shapes |= tdnn("mfa", aggregated, 3 * channels) | tdnn("asp.tdnn", 24, 3 * aggregated)
    shapes |= affine("asp.conv.conv", aggregated, 24, 1) | norm("asp_bn.norm", 2 * aggregated)
    return filled(shapes | affine("fc.conv", 192, 2 * aggregated, 1), seed)


def campplus(head: int = 4, trunk: int = 16, growth: int = 4, narrow: int = 8, dim: int = 24, seed: int = 0) -> State:
    def block(name: str, shortcut: bool) -> dict[str, tuple[int, ...]]:
        shapes = affine(f"{name}.conv1", head, head, 3, 3, bias=False) | norm(f"{name}.bn1", head)
        shapes |= affine(f"{name}.conv2", head, head, 3, 3, bias=False) | norm(f"{name}.bn2", head)
        if shortcut:
            shapes |= affine(f"{name}.shortcut.0", head, head, 1, 1, bias=False) | norm(f"{name}.shortcut.1", head)
        return shapes

    shapes = affine("head.conv1", head, 1, 3, 3, bias=False) | norm("head.bn1", head)
    for layer in ("head.layer1", "head.layer2"):
        shapes |= block(f"{layer}.0", shortcut=True) | block(f"{layer}.1", shortcut=False)
    shapes |= affine("head.conv2", head, head, 3, 3, bias=False) | norm("head.bn2", head)
    shapes |= affine("xvector.tdnn.linear", trunk, 10 * head, 5, bias=False)
    shapes |= norm("xvector.tdnn.nonlinear.batchnorm", trunk)
    width = trunk
    for number, depth in enumerate((12, 24, 16), start=1):
        for layer in range(1, depth + 1):
            at = f"xvector.block{number}.tdnnd{layer}"
            shapes |= norm(f"{at}.nonlinear1.batchnorm", width) | affine(f"{at}.linear1", narrow, width, 1, bias=False)
            shapes |= norm(f"{at}.nonlinear2.batchnorm", narrow)
            shapes |= affine(f"{at}.cam_layer.linear_local", growth, narrow, 3, bias=False)
            shapes |= affine(f"{at}.cam_layer.linear1", narrow // 2, narrow, 1)
            shapes |= affine(f"{at}.cam_layer.linear2", growth, narrow // 2, 1)
            width += growth
        shapes |= norm(f"xvector.transit{number}.nonlinear.batchnorm", width)
        shapes |= affine(f"xvector.transit{number}.linear", width // 2, width, 1, bias=False)
        width //= 2
    shapes |= norm("xvector.out_nonlinear.batchnorm", width)
    shapes |= affine("xvector.dense.linear", dim, 2 * width, 1, bias=False)
    last = norm("xvector.dense.nonlinear.batchnorm", dim)
    return filled(shapes | {name: last[name] for name in last if "running" in name or "num" in name}, seed)


def transformer(bundle: str = "WAVLM_BASE_PLUS", seed: int = 0) -> State:
    """Weights of a tiny network, under the names of the published file (pos_conv_embed by weight_g and weight_v)."""
    chosen = getattr(torchaudio.pipelines, bundle)
    make = torchaudio.models.wavlm_model if "WAVLM" in bundle else torchaudio.models.wav2vec2_model
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        state = make(**chosen._params | TINY_TRANSFORMER).state_dict()
    halves = {"parametrizations.weight.original0": "weight_g", "parametrizations.weight.original1": "weight_v"}
    for now, published in halves.items():
        state = {name.replace(now, published): tensor for name, tensor in state.items()}
    return state


def save(state: Mapping[str, object], path: Path) -> Path:
    torch.save(state, path)
    return path


def write_onnx(
    path: Path, *, shape: list, steps: list, weights: State, metadata: Mapping[str, str] = {}, **names
) -> Path:
    """Write a network whose nodes are `steps`: (operation, inputs, output, attributes)."""
    taken, given = names.get("taken", "feats"), names.get("given", "embs")
    nodes = [helper.make_node(kind, ins, [out], **attributes) for kind, ins, out, attributes in steps]
    tensors = [numpy_helper.from_array(tensor.numpy(), name) for name, tensor in weights.items()]
    graph = helper.make_graph(
        nodes,
        "network",
        [helper.make_tensor_value_info(taken, TensorProto.FLOAT, shape)],
        [helper.make_tensor_value_info(given, TensorProto.FLOAT, names.get("output_shape"))],
        tensors,
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)
    helper.set_model_props(model, dict(metadata))
    onnx.save(model, path)
    return path


def bands_network(path: Path, batch: int | str = "B", frames: int | str = "T", **options) -> Path:
    """relu(bands @ a), its mean over frames, @ b: [B, F, 80] -> [B, 12]."""
    steps = [
        ("MatMul", [options.get("taken", "feats"), "a"], "hidden", {}),
        ("Relu", ["hidden"], "active", {}),
        ("ReduceMean", ["active"], "mean", {"axes": [1], "keepdims": 0}),
        ("MatMul", ["mean", "b"], options.get("given", "embs"), {}),
    ]
    weights = filled({"a": (80, 16), "b": (16, 12)}, seed=5)
    return write_onnx(path, shape=[batch, frames, 80], steps=steps, weights=weights, **options)


def waves_network(path: Path, shape: list, **options) -> Path:
    """|waveform * k| of a convolution (400 samples every 160), its mean over frames: [B, T] or [B, 1, T] -> [B, 10]."""
    taken = options.get("taken", "wave")
    steps = [] if len(shape) == 3 else [("Unsqueeze", [taken, "one"], "channel", {})]
    steps += [
        ("Conv", [taken if len(shape) == 3 else "channel", "k"], "filtered", {"strides": [160]}),
        ("Abs", ["filtered"], "size", {}),
        ("ReduceMean", ["size"], options.get("given", "embs"), {"axes": [2], "keepdims": 0}),
    ]
    weights = {**filled({"k": (10, 1, 400)}, seed=6), "one": torch.tensor([1])}
    return write_onnx(path, shape=shape, steps=steps, weights=weights, **{"taken": taken} | options)


STATES: dict[str, Callable[[], State]] = {
    "campplus": campplus,
    "resnet_se34v2": resnet_se34v2,
    "resnet34_wespeaker": resnet34_wespeaker,
    "eres2net": eres2net,
    "eres2netv2": eres2netv2,
    "redimnet": redimnet,
    "titanet": titanet,
    "ecapa_tdnn": ecapa_tdnn,
    "ecapa_taoruijie": ecapa_taoruijie,
    "ecapa_speechbrain": ecapa_speechbrain,
    "wavlm": transformer,
}


def settings(name: str, folder: Path) -> Section:
    """Settings of a backbone of the table with which it can be made, its weights written to `folder`."""
    given: dict[str, object] = {}
    if name in STATES:
        given["weights"] = save(STATES[name](), folder / f"{name}.pt")
    if name == "wavlm":
        given["architecture"] = TINY_TRANSFORMER
    if name == "onnx":
        given["model"] = bands_network(folder / "bands.onnx")
    return BACKBONES[name].Config(**given)
