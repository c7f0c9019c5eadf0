import numpy as np
import onnxruntime
import pytest
import torch

from reseed.stages import export_model as verb
from reseed.stages.enhancers.library import Enhancer
from reseed.stages.enhancers.table import ENHANCERS
from reseed.stages.export_model import export_model
from reseed.store import ConfigError, ModelError
from tests.stages.enhancers.test_library import make_model


@pytest.mark.parametrize("enhancer", ENHANCERS)
def test_exported_files_agree_with_the_model_at_any_batch_size(tmp_path, enhancer):
    model = make_model(tmp_path, enhancer)
    x = np.random.default_rng(0).normal(size=(5, 16)).astype(np.float32)
    expected = Enhancer.load(model).enhance(x)
    assert "differs by" in export_model(model=model, output=tmp_path / "m.onnx")
    session = onnxruntime.InferenceSession(tmp_path / "m.onnx")
    np.testing.assert_allclose(session.run(None, {"embedding": x})[0], expected, rtol=1e-4, atol=1e-5)
    export_model(model=model, output=tmp_path / "m.pt", format="torchscript")
    with pytest.warns(DeprecationWarning, match="torch.jit.load"):
        script = torch.jit.load(tmp_path / "m.pt")
    np.testing.assert_allclose(script(torch.from_numpy(x)).numpy(), expected, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize(
    "chain",
    [
        ["centre", {"lda": 4}, "length_norm"],
        [{"centre": {"mean": "store"}}, "auto", "neighbours"],
        ["whiten", "wccn", "vire", {"lda": 3}],
    ],
    ids=str,
)
def test_a_chain_is_exported_as_one_graph_and_that_gives_as_many_dimensions_as_the_chain(tmp_path, chain):
    model = make_model(tmp_path, "chain", chain=chain)
    x = np.random.default_rng(0).normal(size=(5, 16)).astype(np.float32)
    enhancer = Enhancer.load(model)
    dims = "16" if enhancer.dim_out == 16 else f"16 to {enhancer.dim_out}"
    assert f"chain, {dims} dimensions, differs by" in export_model(model=model, output=tmp_path / "m.onnx")
    session = onnxruntime.InferenceSession(tmp_path / "m.onnx")
    assert [(value.name, value.shape) for value in session.get_outputs()] == [("enhanced", ["batch", enhancer.dim_out])]
    found, expected = session.run(None, {"embedding": x})[0], enhancer.enhance(x)
    np.testing.assert_allclose(found, expected, rtol=0, atol=1e-5 * np.abs(expected).max())
    np.testing.assert_allclose(session.run(None, {"embedding": x[:1]})[0], found[:1], atol=1e-5 * np.abs(found).max())


def test_several_steps_of_ddim_are_exported_too(tmp_path):
    model = make_model(tmp_path, "seed", sampling_timestep=400, sampling_steps=5, prediction="v_prediction")
    export_model(model=model, output=tmp_path / "m.onnx")


def test_a_model_that_draws_noise_is_refused(tmp_path):
    model = make_model(tmp_path, "seed", noise_draws=1, epochs=20, lr=1e-2)
    with pytest.raises(ModelError, match="draws noise, which a file cannot; export one made with noise_draws=0"):
        export_model(model=model, output=tmp_path / "m.onnx")


def test_a_file_that_disagrees_is_not_left_behind(tmp_path, monkeypatch):
    model = make_model(tmp_path, "mse")
    write, run = verb.FORMATS["onnx"]
    monkeypatch.setitem(verb.FORMATS, "onnx", (write, lambda path, given: 1.01 * run(path, given)))
    with pytest.raises(ModelError, match=r"onnx differs from .* by \d\.\de-0\d of the largest component"):
        export_model(model=model, output=tmp_path / "m.onnx")
    assert not (tmp_path / "m.onnx").exists()


def test_unknown_formats_list_the_choices(tmp_path):
    with pytest.raises(ConfigError, match="no format 'tflite' for models; choose one of onnx, torchscript"):
        export_model(model=tmp_path, output=tmp_path / "m", format="tflite")
