"""Exported networks, run on waveforms and on Kaldi's features; both are computed anew in numpy."""

import numpy as np
import onnx
import pytest
import torch
from onnx import TensorProto, helper
from torchaudio.compliance import kaldi

from reseed.stages.backbones.kaldi import KaldiFbank
from reseed.stages.backbones.onnx import Onnx, OnnxConfig
from reseed.store import ConfigError, ModelError
from tests.stages.backbones import by_hand
from tests.stages.backbones.checkpoints import bands_network, filled, waves_network, write_onnx

WAVES = by_hand.waves(0.6)
BANDS = filled({"a": (80, 16), "b": (16, 12)}, seed=5)
FILTERS = filled({"k": (10, 1, 400)}, seed=6)["k"][:, 0].numpy()


def run(path, **settings) -> torch.Tensor:
    return Onnx(OnnxConfig(model=path, **settings)).frozen()(torch.from_numpy(WAVES))


def bands_embedding(scale: float, window: str, cmn: bool = True, rate_hz: int = 16_000) -> torch.Tensor:
    rows = []
    for wave in WAVES.astype(np.float64):
        bands = by_hand.kaldi_bands(wave * scale, rate_hz, 80, window)
        bands = bands - bands.mean(axis=0) * cmn
        rows.append(np.maximum(bands @ BANDS["a"].numpy(), 0).mean(axis=0) @ BANDS["b"].numpy())
    return torch.from_numpy(np.stack(rows))


def waves_embedding(scale: float = 1.0) -> torch.Tensor:
    frames = np.lib.stride_tricks.sliding_window_view(WAVES.astype(np.float64) * scale, 400, axis=1)[:, ::160]
    return torch.from_numpy(np.abs(frames @ FILTERS.T).mean(axis=1))


@pytest.mark.parametrize(
    ("window", "rate_hz", "n_mels"), [("hamming", 16_000, 80), ("povey", 16_000, 80), ("povey", 8000, 40)]
)
def test_kaldis_features_agree_with_torchaudios_and_with_numpy(window, rate_hz, n_mels):
    ours = KaldiFbank(rate_hz, n_mels, window)(torch.from_numpy(WAVES) * 32768)
    options = {"num_mel_bins": n_mels, "window_type": window, "dither": 0.0, "sample_frequency": float(rate_hz)}
    for index, wave in enumerate(WAVES):
        theirs = kaldi.fbank(torch.from_numpy(wave[None]) * 32768, **options)
        torch.testing.assert_close(ours[index], theirs, rtol=1e-4, atol=1e-3)
        by_numpy = by_hand.kaldi_bands(wave.astype(np.float64) * 32768, rate_hz, n_mels, window)
        torch.testing.assert_close(ours[index].double(), torch.from_numpy(by_numpy), rtol=1e-4, atol=1e-3)


SHERPA_3D = {"framework": "3d-speaker", "normalize_samples": "1", "feature_normalize_type": "global-mean"}
SHERPA_WESPEAKER = {"framework": "wespeaker", "normalize_samples": "0", "sample_rate": "16000", "output_dim": "12"}


@pytest.mark.parametrize(
    ("exported", "settings", "scale", "window"),
    [
        ({}, {}, 32768, "hamming"),
        ({"metadata": SHERPA_WESPEAKER}, {}, 32768, "hamming"),
        ({"metadata": SHERPA_3D, "taken": "x", "given": "embedding"}, {}, 1, "povey"),
        ({"taken": "feature", "given": "embedding"}, {}, 1, "povey"),
        ({"metadata": SHERPA_3D}, {"scale": 32768, "window": "hamming"}, 32768, "hamming"),
    ],
    ids=["WeSpeaker", "WeSpeaker by sherpa", "3D-Speaker by sherpa", "3D-Speaker", "settings first"],
)
def test_features_are_those_of_the_exporter(tmp_path, exported, settings, scale, window):
    ours = run(bands_network(tmp_path / "net.onnx", **exported), **settings)
    by_hand.assert_agree(ours, bands_embedding(scale, window))


def test_one_batch_takes_as_many_threads_as_torch_does(tmp_path):
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    opened = Onnx(OnnxConfig(model=bands_network(tmp_path / "net.onnx")))
    torch.set_num_threads(before)
    assert opened.session.get_session_options().intra_op_num_threads == 1


def test_the_mean_over_the_utterance_can_stay(tmp_path):
    by_hand.assert_agree(run(bands_network(tmp_path / "net.onnx"), cmn=False), bands_embedding(32768, "hamming", False))
    said = {"feature_normalize_type": ""}
    by_hand.assert_agree(
        run(bands_network(tmp_path / "net.onnx", metadata=said)), bands_embedding(32768, "hamming", False)
    )


def test_the_sampling_rate_in_the_file_decides(tmp_path):
    path = bands_network(tmp_path / "net.onnx", metadata={"sample_rate": "8000"})
    assert Onnx(OnnxConfig(model=path)).sample_rate_hz == 8000
    by_hand.assert_agree(run(path), bands_embedding(32768, "hamming", rate_hz=8000))
    assert Onnx(OnnxConfig(model=path, sample_rate_hz=16_000)).sample_rate_hz == 16_000


@pytest.mark.parametrize("shape", [["B", "T"], [1, "T"], ["B", 1, "T"], [1, 1, WAVES.shape[1]]])
def test_waveforms_are_fed_as_they_are(tmp_path, shape):
    by_hand.assert_agree(run(waves_network(tmp_path / "net.onnx", shape)), waves_embedding())
    by_hand.assert_agree(run(tmp_path / "net.onnx", scale=32768), waves_embedding(32768))


def test_a_network_for_one_at_a_time_is_run_row_by_row(tmp_path):
    by_hand.assert_agree(run(bands_network(tmp_path / "net.onnx", batch=1)), bands_embedding(32768, "hamming"))


def test_a_network_of_fixed_length_runs_on_that_length_alone(tmp_path):
    path = bands_network(tmp_path / "net.onnx", frames=58)
    by_hand.assert_agree(run(path, input="fbank"), bands_embedding(32768, "hamming"))
    with pytest.raises(
        ModelError, match=r"does not run on fbank of shape \[1, 98, 80\]; inputs: feats .*\['B', 58, 80\]"
    ):
        Onnx(OnnxConfig(model=path, input="fbank"))(torch.zeros(1, 16_000))


def test_one_of_several_outputs_is_chosen_by_name(tmp_path):
    path = bands_network(tmp_path / "net.onnx")
    model = onnx.load(path)
    model.graph.output.append(helper.make_tensor_value_info("hidden", TensorProto.FLOAT, None))
    model.graph.output.append(helper.make_tensor_value_info("mean", TensorProto.FLOAT, ["B", 16]))
    onnx.save(model, path)
    assert run(path, output="mean").shape == (3, 16)
    by_hand.assert_agree(run(path, output="embs"), bands_embedding(32768, "hamming"))
    with pytest.raises(
        ConfigError, match=r"output must name an output of .*outputs: embs .*, hidden .*, mean .*\['B', 16\]"
    ):
        run(path)
    with pytest.raises(ModelError, match=r"gives hidden of shape \[1, 98, 16\], not a vector for each waveform"):
        run(path, output="hidden")


def test_the_space_follows_the_weights_inside_and_beside_the_file_and_the_features(tmp_path):
    def space(**settings) -> str:
        return Onnx(OnnxConfig(model=tmp_path / "net.onnx", **settings)).space

    bands_network(tmp_path / "net.onnx")
    spaces = [space(), space(cmn=False), space(window="povey"), space(scale=1.0)]
    model = onnx.load(tmp_path / "net.onnx")
    onnx.save(model, tmp_path / "net.onnx", save_as_external_data=True, location="net.onnx.data", size_threshold=0)
    files = OnnxConfig.files({"model": str(tmp_path / "net.onnx")})
    assert files == [tmp_path / "net.onnx", tmp_path / "net.onnx.data"]
    spaces.append(space())
    data = np.fromfile(tmp_path / "net.onnx.data", np.float32)
    (data * 0.5).tofile(tmp_path / "net.onnx.data")
    assert len({*spaces, space()}) == 6


@pytest.mark.parametrize(
    ("shape", "options", "said"),
    [
        (
            ["B", 80, "T"],
            {},
            r"cannot tell whether it takes waveforms or fbank; inputs: .*\['B', 80, 'T'\].* set backbone",
        ),
        (["B", "T", "F"], {}, r"cannot tell whether"),
        (
            ["T"],
            {},
            r"does not take waveforms \[B, T\] or bands \[B, F, M\] alone; inputs: wave tensor\(float\) \['T'\]",
        ),
        ([8, "T"], {}, r"is exported for batches of 8; export it for any, or for 1"),
        (["B", "T"], {"input": "fbank"}, r"cannot tell whether"),
    ],
)
def test_inputs_of_other_shapes_are_listed(tmp_path, shape, options, said):
    steps = [("Identity", ["wave"], "embs", {})]
    path = write_onnx(tmp_path / "net.onnx", shape=shape, steps=steps, weights={}, taken="wave")
    with pytest.raises(ModelError, match=said):
        run(path, **options)


def test_networks_with_several_inputs_or_unknown_features_are_listed(tmp_path):
    path = bands_network(tmp_path / "net.onnx", metadata={"feature_normalize_type": "per_feature"})
    with pytest.raises(ModelError, match="asks for features normalised by per_feature, which is unknown here"):
        run(path)
    model = onnx.load(path)
    model.graph.input.append(helper.make_tensor_value_info("length", TensorProto.INT64, ["B"]))
    onnx.save(model, path)
    with pytest.raises(ModelError, match=r"alone; inputs: feats .*, length tensor\(int64\) \['B'\]; outputs: embs"):
        run(path)


def test_settings_of_features_are_refused_where_waveforms_are_fed(tmp_path):
    with pytest.raises(ConfigError, match="window and cmn are for input: fbank, but .* takes waveforms"):
        run(waves_network(tmp_path / "net.onnx", ["B", "T"]), window="povey")


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"<!DOCTYPE html>", "is a web page"),
        (b"version https://git-lfs.github.com/spec/v1\n", "is a git-lfs pointer"),
        (b"\x08\x07 not a graph", "is no ONNX file that onnxruntime can run"),
    ],
)
def test_files_that_are_no_networks_are_told_apart(tmp_path, content, said):
    (tmp_path / "net.onnx").write_bytes(content)
    with pytest.raises(ModelError, match=said):
        run(tmp_path / "net.onnx")
