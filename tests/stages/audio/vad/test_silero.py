"""What is made of silero's probabilities, by hand; its network where it is installed, and a small one in its place."""

import importlib.metadata
from pathlib import Path

import numpy as np
import onnx
import pytest
import soundfile
from onnx import TensorProto, helper

from reseed.stages.audio.vad.silero import WINDOW, Silero, spans
from reseed.stages.audio.vad.speech import detector_identity
from reseed.stages.audio.vad_settings import SileroSettings, VadSettings
from reseed.store import ConfigError, ModelError
from reseed.store.atomic import sha256_file
from tests.corpus import REAL, needs_recordings

PAD = 480


def found(chances: list[float], samples: int | None = None, **settings: float) -> list[tuple[int, int]]:
    samples = WINDOW * len(chances) if samples is None else samples
    return spans(np.array(chances, np.float32), samples, SileroSettings(**settings))


def test_speech_begins_at_the_threshold_and_ends_where_it_stays_below_for_long_enough():
    speech, unsure, silence = [0.9] * 10, [0.4], [0.1]
    assert found(silence * 3 + speech + silence * 5) == [(3 * WINDOW - PAD, 13 * WINDOW + PAD)]
    assert found(speech + silence * 3 + speech) == [(0, 23 * WINDOW)]  # 96 ms are too short
    assert found(speech + silence * 5 + speech) == [(0, 10 * WINDOW + PAD), (15 * WINDOW - PAD, 25 * WINDOW)]
    assert found(speech + unsure * 20 + speech) == [(0, 40 * WINDOW)]  # 0.4 neither begins nor ends it
    assert found(speech + silence + unsure * 20 + silence) == [(0, 10 * WINDOW + PAD)]
    assert found(silence * 3 + [0.5] * 7 + silence * 5) == []  # 224 ms are too short
    assert found(speech, samples=10 * WINDOW - 100) == [(0, 10 * WINDOW - 100)]
    assert found([]) == found(silence) == []


def test_stretches_that_would_meet_share_what_lies_between():
    chances = [0.9] * 10 + [0.1] * 5 + [0.9] * 10
    assert found(chances, padding_s=0.2) == [(0, 12 * WINDOW + 256), (12 * WINDOW + 256, 25 * WINDOW)]


def install(monkeypatch, folder: Path, network: onnx.ModelProto | None) -> Path:
    """Pretend that a package silero-vad with this network is installed in `folder`, and no other."""
    metadata, path = (
        folder / "silero_vad-6.2.3.dist-info",
        folder / "silero_vad" / "data" / "silero_vad_16k_sequence.onnx",
    )
    metadata.mkdir(parents=True)
    path.parent.mkdir(parents=True)
    (metadata / "METADATA").write_text("Metadata-Version: 2.1\nName: silero-vad\nVersion: 6.2.3\n")
    (metadata / "RECORD").write_text(f"{path.relative_to(folder)},,\n" if network else "silero_vad/__init__.py,,\n")
    if network is not None:
        onnx.save(network, path)
    monkeypatch.syspath_prepend(folder)
    return path


def loud_windows(louder: float = 1.0) -> onnx.ModelProto:
    """Return a network of silero's inputs and outputs: the peak of each window with its context, and h + 1 as state."""
    nodes = [
        helper.make_node("Abs", ["input"], ["size"]),
        helper.make_node("ReduceMax", ["size"], ["speech_probs"], axes=[1], keepdims=0),
        helper.make_node("Add", ["h", "one"], ["hn"]),
        helper.make_node("Identity", ["c"], ["cn"]),
    ]
    state = [1, 1, 128]
    inputs = [
        helper.make_tensor_value_info(name, TensorProto.FLOAT, shape)
        for name, shape in (("input", ["frames", 576]), ("h", state), ("c", state))
    ]
    outputs = [
        helper.make_tensor_value_info(name, TensorProto.FLOAT, shape)
        for name, shape in (("speech_probs", ["frames"]), ("hn", state), ("cn", state))
    ]
    one = helper.make_tensor("one", TensorProto.FLOAT, [1], [louder])
    graph = helper.make_graph(nodes, "loud", inputs, outputs, [one])
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)], ir_version=8)


def test_the_network_of_the_wheel_sees_every_window_with_the_end_of_the_one_before(tmp_path, monkeypatch):
    path = install(monkeypatch, tmp_path, loud_windows())
    wave_T = np.zeros(40 * WINDOW + 10, np.float32)
    wave_T[10 * WINDOW : 20 * WINDOW] = 0.8
    # The peak of the last sample lies in the context of one window more.
    assert Silero(SileroSettings())([wave_T]) == [(10 * WINDOW - PAD, 21 * WINDOW + PAD)]
    assert Silero(SileroSettings())(np.array_split(wave_T, 7)) == [(10 * WINDOW - PAD, 21 * WINDOW + PAD)]
    assert Silero(SileroSettings())([]) == []
    assert detector_identity(VadSettings(method="silero")) == {"silero_sha256": sha256_file(path)}
    assert detector_identity(VadSettings(method="energy")) == detector_identity(None) == {}


def test_a_package_that_is_missing_or_lacks_the_network_is_named_with_the_command_that_mends_it(tmp_path, monkeypatch):
    with monkeypatch.context() as patch:
        patch.setattr("sys.path", [])
        with pytest.raises(
            ConfigError, match="silero are in the package silero-vad, .* `uv pip install --no-deps silero"
        ):
            Silero(SileroSettings())
    install(monkeypatch, tmp_path, None)
    with pytest.raises(
        ConfigError, match=r"silero-vad lacks silero_vad_16k_sequence\.onnx; .* --reinstall silero-vad`"
    ):
        Silero(SileroSettings())


def test_a_damaged_network_is_named(tmp_path, monkeypatch):
    path = install(monkeypatch, tmp_path, loud_windows())
    path.write_bytes(path.read_bytes()[:100])
    with pytest.raises(ModelError, match=r"sequence\.onnx is no network that .* install silero-vad"):
        Silero(SileroSettings())([np.zeros(600, np.float32)])


def is_installed() -> bool:
    try:
        return bool(importlib.metadata.version("silero-vad"))
    except importlib.metadata.PackageNotFoundError:
        return False


@needs_recordings
@pytest.mark.skipif(not is_installed(), reason="needs silero-vad")
def test_the_published_network_finds_the_voice_between_silence_and_none_in_noise():
    voice_T = soundfile.read(sorted((REAL / "speech" / "dev").rglob("*.flac"))[0], dtype="float32")[0]
    silence_T = np.zeros(32_000, np.float32)
    stretches = Silero(SileroSettings())([silence_T, voice_T, silence_T])
    assert stretches[0][0] >= 32_000 - PAD
    assert stretches[-1][1] <= 32_000 + len(voice_T) + 16_000
    assert sum(stop - start for start, stop in stretches) > len(voice_T) / 3
    noise_T = np.random.default_rng(0).normal(0, 0.01, 48_000).astype(np.float32)
    assert Silero(SileroSettings())([noise_T]) == []
