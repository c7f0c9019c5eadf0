"""WeSpeaker's residual networks against their definition, from checkpoints and from ONNX exports."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import onnx
import pytest
import torch
from onnx import numpy_helper
from torch import Tensor

from reseed.stages.backbones.onnx import Onnx, OnnxConfig
from reseed.stages.backbones.resnet_wespeaker import ResNet34WeSpeaker, ResNet34WeSpeakerConfig
from reseed.store import ModelError
from tests.stages.backbones import by_hand, checkpoints
from tests.stages.backbones.by_hand import batch_norm, conv, linear, relu

State = dict[str, Tensor]
BOTTLENECKS = {"width": 4, "blocks": (3, 4, 6, 3), "expansion": 4}


def embed(state: State, wave_BT) -> Tensor:
    bands = [by_hand.kaldi_bands(2.0**15 * wave.astype(np.float64), 16_000, 80, "hamming") for wave in wave_BT]
    x = torch.from_numpy(np.stack([band - band.mean(axis=0) for band in bands])).transpose(1, 2)[:, None]
    x = relu(batch_norm(conv(x, state, "conv1", padding=1), state, "bn1"))
    for at, stride in blocks_of(state):
        x = residual(x, state, at, stride)
    frames = x.shape[3]
    variance = (x - x.mean(dim=3, keepdim=True)).square().sum(dim=3) / (frames - 1)
    pooled = [x.mean(dim=3).flatten(1), torch.sqrt(variance + 1e-7).flatten(1)]
    return linear(torch.cat(pooled, dim=1), state, "seg_1")


def blocks_of(state: State) -> Iterator[tuple[str, int]]:
    for layer in range(1, 5):
        block = 0
        while f"layer{layer}.{block}.conv1.weight" in state:
            yield f"layer{layer}.{block}", 2 if layer > 1 and block == 0 else 1
            block += 1


def convolutions_of(state: State, at: str) -> list[int]:
    return [number for number in (1, 2, 3) if f"{at}.conv{number}.weight" in state]


def residual(x: Tensor, state: State, at: str, stride: int) -> Tensor:
    out, numbers = x, convolutions_of(state, at)
    for number in numbers:
        kernel = state[f"{at}.conv{number}.weight"].shape[2]
        # A bottleneck strides in its 3x3 convolution, a basic block in its first.
        step = stride if number == (2 if len(numbers) == 3 else 1) else 1
        out = conv(out, state, f"{at}.conv{number}", padding=kernel // 2, stride=step)
        out = batch_norm(out, state, f"{at}.bn{number}")
        out = out if number == numbers[-1] else relu(out)
    if f"{at}.shortcut.0.weight" in state:
        x = batch_norm(conv(x, state, f"{at}.shortcut.0", stride=stride), state, f"{at}.shortcut.1")
    return relu(out + x)


def exported(state: State, path: Path, mean_D: Tensor, folds: bool = True) -> Path:
    """Write what WeSpeaker's export_onnx.py writes: normalisations folded, convolutions by names of its own, or not."""
    steps: list[tuple] = [
        ("Constant", [], "one", {"value_ints": [1]}),
        ("Constant", [], "last", {"value_ints": [-1]}),
        ("Constant", [], "floor", {"value_float": 1e-7}),
        ("Transpose", ["feats"], "bands", {"perm": [0, 2, 1]}),
        ("Unsqueeze", ["bands", "one"], "image", {}),
    ]
    weights: State = {"mean_vec": mean_D}

    def convolved(taken: str, name: str, norm: str, stride: int = 1) -> str:
        parts = {part: state[f"{norm}.{part}"] for part in ("weight", "bias", "running_mean", "running_var")}
        kernel = state[f"{name}.weight"]
        options = {"strides": [stride] * 2, "pads": [kernel.shape[2] // 2] * 4}
        if not folds:
            named = {f"model.{name}.weight": kernel} | {f"model.{norm}.{part}": parts[part] for part in parts}
            weights.update(named)
            steps.append(("Conv", [taken, f"model.{name}.weight"], f"{name}.raw", options))
            steps.append(("BatchNormalization", [f"{name}.raw", *list(named)[1:]], f"{name}.out", {"epsilon": 1e-5}))
            return f"{name}.out"
        factor = parts["weight"] / torch.sqrt(parts["running_var"] + 1e-5)
        own = [f"onnx::Conv_{300 + len(weights)}", f"onnx::Conv_{301 + len(weights)}"]
        weights.update(
            {own[0]: kernel * factor[:, None, None, None], own[1]: parts["bias"] - parts["running_mean"] * factor}
        )
        steps.append(("Conv", [taken, *own], f"{name}.out", options))
        return f"{name}.out"

    def active(taken: str) -> str:
        steps.append(("Relu", [taken], f"{taken}.relu", {}))
        return f"{taken}.relu"

    x = active(convolved("image", "conv1", "bn1"))
    for at, stride in blocks_of(state):
        out, numbers = x, convolutions_of(state, at)
        for number in numbers:
            step = stride if number == (2 if len(numbers) == 3 else 1) else 1
            out = convolved(out, f"{at}.conv{number}", f"{at}.bn{number}", step)
            out = out if number == numbers[-1] else active(out)
        if f"{at}.shortcut.0.weight" in state:
            x = convolved(x, f"{at}.shortcut.0", f"{at}.shortcut.1", stride)
        steps.append(("Add", [out, x], f"{at}.sum", {}))
        x = active(f"{at}.sum")
    weights |= {f"model.seg_1.{part}": state[f"seg_1.{part}"] for part in ("weight", "bias")}
    steps += [
        ("ReduceMean", [x], "mean", {"axes": [-1], "keepdims": 1}),
        ("Sub", [x, "mean"], "off", {}),
        ("Mul", ["off", "off"], "square", {}),
        ("ReduceSum", ["square", "last"], "summed", {"keepdims": 0}),
        ("Shape", [x], "shape", {}),
        ("Gather", ["shape", "last"], "frames", {}),
        ("Sub", ["frames", "one"], "fewer", {}),
        ("Cast", ["fewer"], "count", {"to": 1}),
        ("Div", ["summed", "count"], "variance", {}),
        ("Add", ["variance", "floor"], "guarded", {}),
        ("Sqrt", ["guarded"], "deviation", {}),
        ("Flatten", ["mean"], "means", {}),
        ("Flatten", ["deviation"], "deviations", {}),
        ("Concat", ["means", "deviations"], "pooled", {"axis": 1}),
        ("Gemm", ["pooled", "model.seg_1.weight", "model.seg_1.bias"], "whole", {"transB": 1}),
        ("Sub", ["whole", "mean_vec"], "embs", {}),
    ]
    return checkpoints.write_onnx(path, shape=["B", "T", 80], steps=steps, weights=weights)


def backbone(path: Path) -> ResNet34WeSpeaker:
    return ResNet34WeSpeaker(ResNet34WeSpeakerConfig(weights=path)).frozen()


@pytest.mark.parametrize("sizes", [{}, {"width": 16}, BOTTLENECKS], ids=["34 layers", "side by side", "bottlenecks"])
def test_embeddings_agree_with_the_definition(tmp_path, sizes):
    state, wave_BT = checkpoints.resnet34_wespeaker(**sizes), by_hand.waves(0.6)
    ours = backbone(checkpoints.save(state, tmp_path / "avg_model.pt"))
    by_hand.assert_agree(ours(torch.from_numpy(wave_BT)), embed(state, wave_BT))


@pytest.mark.parametrize(
    ("blocks", "expansion", "layers"),
    [((2, 2, 2, 2), 1, 18), ((10, 20, 64, 3), 4, 293)],
)
def test_the_depth_follows_from_the_weights(tmp_path, blocks, expansion, layers):
    state = checkpoints.resnet34_wespeaker(2, 8, blocks, expansion)
    ours = backbone(checkpoints.save(state, tmp_path / "avg_model.pt"))
    found = sum(isinstance(module, torch.nn.Conv2d) for name, module in ours.named_modules() if "shortcut" not in name)
    assert found + 1 == layers


def test_the_layer_that_classified_speakers_is_left_out(tmp_path):
    state, wave_BT = checkpoints.resnet34_wespeaker(), torch.from_numpy(by_hand.waves(0.3))
    plain = backbone(checkpoints.save(state, tmp_path / "plain.pt"))(wave_BT)
    state |= {"projection.weight": torch.zeros(5994, 24), "projection.bias": torch.zeros(5994)}
    assert torch.equal(backbone(checkpoints.save({"state_dict": state}, tmp_path / "whole.pt"))(wave_BT), plain)


def test_a_second_embedding_layer_is_used_where_there_is_one(tmp_path):
    state, wave_BT = checkpoints.resnet34_wespeaker(), by_hand.waves(0.3)
    statistics = {"running_mean": torch.rand(24), "running_var": 0.5 + torch.rand(24)}
    more = checkpoints.filled(checkpoints.affine("seg_2", 24, 24), seed=4)
    whole = state | more | {f"seg_bn_1.{name}": value for name, value in statistics.items()}
    first = relu(embed(state, wave_BT))
    first = (first - statistics["running_mean"]) / torch.sqrt(statistics["running_var"] + by_hand.EPS)
    ours = backbone(checkpoints.save(whole, tmp_path / "two.pt"))(torch.from_numpy(wave_BT))
    by_hand.assert_agree(ours, linear(first.double(), whole, "seg_2"))


@pytest.mark.parametrize("folds", [True, False], ids=["folded", "with normalisations"])
@pytest.mark.parametrize("sizes", [{}, BOTTLENECKS], ids=["34 layers", "bottlenecks"])
def test_an_export_gives_what_onnxruntime_and_the_checkpoint_give(tmp_path, sizes, folds):
    state, wave_BT = checkpoints.resnet34_wespeaker(**sizes), torch.from_numpy(by_hand.waves(0.5))
    mean_D = torch.linspace(-1, 1, 24)
    path = exported(state, tmp_path / "resnet.onnx", mean_D, folds)
    ours = backbone(path)
    assert any(isinstance(module, torch.nn.BatchNorm2d) for module in ours.modules()) is not folds
    expected = backbone(checkpoints.save(state, tmp_path / "avg_model.pt"))(wave_BT) - mean_D
    by_hand.assert_agree(ours(wave_BT), expected)
    by_hand.assert_agree(ours(wave_BT), Onnx(OnnxConfig(model=path)).frozen()(wave_BT))


def test_weights_saved_from_an_export_are_loaded_as_such(tmp_path):
    state, wave_BT = checkpoints.resnet34_wespeaker(), torch.from_numpy(by_hand.waves(0.3))
    ours = backbone(exported(state, tmp_path / "resnet.onnx", torch.ones(24)))
    again = backbone(checkpoints.save(ours.state_dict(), tmp_path / "weights.pt"))
    assert torch.equal(again(wave_BT), ours(wave_BT))


def edited(path: Path, edit) -> Path:
    model = onnx.load(path)
    edit(model.graph)
    path.write_bytes(model.SerializeToString())
    return path


def with_pooling(graph) -> None:
    graph.initializer.append(numpy_helper.from_array(np.ones((3, 3), np.float32), "model.pool.linear1.weight"))


def without_layer(graph) -> None:
    del graph.node[[node.op_type for node in graph.node].index("Conv")]


def with_tensor_elsewhere(graph) -> None:
    graph.initializer[0].data_location = onnx.TensorProto.EXTERNAL


def with_fewer_values(graph) -> None:
    graph.initializer[-2].raw_data = graph.initializer[-2].raw_data[:8]


@pytest.mark.parametrize(
    ("edit", "said"),
    [
        (with_pooling, r"model\.pool\.linear1\.weight is unknown"),
        (without_layer, "it has 35 convolutions and 1 linear layers; use the backbone onnx, which runs any"),
        (with_tensor_elsewhere, "mean_vec lies in another file; save the model as one"),
        (with_fewer_values, r"of shape \[24, 1280\] holds 2 values"),
    ],
    ids=["another pooling", "a layer less", "a tensor elsewhere", "a tensor cut short"],
)
def test_an_export_of_another_network_is_refused(tmp_path, edit, said):
    path = edited(exported(checkpoints.resnet34_wespeaker(), tmp_path / "x.onnx", torch.zeros(24)), edit)
    with pytest.raises(ModelError, match=said):
        backbone(path)


def test_bytes_that_are_no_export_are_refused_in_a_line(tmp_path):
    whole = exported(checkpoints.resnet34_wespeaker(2, 4), tmp_path / "x.onnx", torch.zeros(4)).read_bytes()
    generator = np.random.default_rng(0)
    damaged = [whole[:size] for size in generator.integers(1, len(whole), 30)]
    damaged += [generator.bytes(200), b"\x3a\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01"]
    for number, content in enumerate(damaged):
        path = tmp_path / f"{number}.onnx"
        path.write_bytes(content)
        with pytest.raises(ModelError) as caught:
            backbone(path)
        assert str(path) in str(caught.value)
        assert "\n" not in str(caught.value)


@pytest.mark.parametrize("duration_ms", [10, 50, 104])
def test_a_clip_too_short_is_repeated_up_to_what_the_network_needs(tmp_path, duration_ms):
    ours = backbone(checkpoints.save(checkpoints.resnet34_wespeaker(), tmp_path / "avg_model.pt"))
    clip_BT = torch.from_numpy(by_hand.waves()[:, 8000 : 8000 + 16 * duration_ms])
    repeated_BT = torch.cat([clip_BT] * 11, dim=1)[:, :1680]  # nine frames
    assert torch.isfinite(ours(clip_BT)).all()
    assert torch.equal(ours(clip_BT), ours(repeated_BT))
