"""`reseed export-model`: a model as ONNX or TorchScript, for programs without reseed.

The file takes "embedding" [B, D], float32, and gives "enhanced" [B, K]; a chain is one graph. Where a model takes the
mean of what it enhances, the file goes by the training mean. What was written is read again and compared.

Shapes: B batch, D embedding dimension, K dimensions of what comes out.
"""

import io
import warnings
from collections.abc import Callable
from pathlib import Path
from zipfile import ZipFile, is_zipfile

import numpy as np
import onnxruntime
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from reseed.stages.enhancers.base import Enhancer
from reseed.stages.enhancers.folder import load_model
from reseed.store import ConfigError, ModelError, atomic
from reseed.store.outputs import check_apart, check_file

_OPSET = 18
_TRACED, _CHECKED = 2, 7  # rows: others in the check, so that a batch size that was fixed in tracing shows
_TOLERANCE = 1e-4


class _Map(nn.Module):
    def __init__(self, network: Enhancer) -> None:
        super().__init__()
        self.network = network

    def forward(self, embedding_BD: Tensor) -> Tensor:
        return self.network.enhance(embedding_BD, torch.Generator())


def export_model(*, model: Path, output: Path, format: str = "onnx") -> str:
    """Write a model as one file and check that it agrees with the original on random input.

    Args:
        model: model directory.
        output: file to write.
        format: "onnx" or "torchscript".

    Returns:
        What was written, in a line.

    Raises:
        ConfigError: no such format.
        ModelError: no model, one that draws noise, or a file that does not agree.
    """
    if format not in FORMATS:
        raise ConfigError(f"there is no format {format!r} for models; choose one of {', '.join(FORMATS)}")
    check_apart([output], [model], ModelError)
    check_file(output, f"a model exported as {format}", _IS_ONE[format], ModelError)
    network, info = load_model(model)
    _check_deterministic(network, model)
    write, run = FORMATS[format]
    given_BD = _embeddings(_CHECKED, network.dim)
    expected_BD = network.enhance(given_BD, torch.Generator()).numpy()
    with atomic.atomic_path(output) as temporary:
        write(_Map(network).eval(), _embeddings(_TRACED, network.dim), temporary)
        difference = float(np.abs(run(temporary, given_BD.numpy()) - expected_BD).max() / np.abs(expected_BD).max())
        if not difference < _TOLERANCE:
            raise ModelError(f"{output}: {format} differs from {model} by {difference:.1e} of the largest component")
    dims = f"{network.dim}" if network.dim_out == network.dim else f"{network.dim} to {network.dim_out}"
    return f"{output}: {info.enhancer}, {dims} dimensions, differs by {difference:.1e} at most"


def _write_onnx(module: nn.Module, example_BD: Tensor, path: Path) -> None:
    axes = {"embedding": {0: "batch"}, "enhanced": {0: "batch"}}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the exporter that needs no further package is no longer torch's first choice
        torch.onnx.export(
            module,
            (example_BD,),
            str(path),
            input_names=["embedding"],
            output_names=["enhanced"],
            dynamo=False,
            opset_version=_OPSET,
            dynamic_axes=axes,
        )


def _run_onnx(path: Path, given_BD: NDArray[np.float32]) -> NDArray[np.float32]:
    session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    return session.run(["enhanced"], {"embedding": given_BD})[0]


def _write_torchscript(module: nn.Module, example_BD: Tensor, path: Path) -> None:
    written = io.BytesIO()  # torch's own writer does not survive a full disk
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # as above
        torch.jit.save(torch.jit.trace(module, example_BD), written)
    path.write_bytes(written.getbuffer())


def _run_torchscript(path: Path, given_BD: NDArray[np.float32]) -> NDArray[np.float32]:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # as above
        return torch.jit.load(str(path))(torch.from_numpy(given_BD)).numpy()


def _is_onnx(path: Path) -> bool:
    try:
        session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    except Exception:  # onnxruntime has no error of its own for what is no ONNX
        return False
    return [value.name for value in (*session.get_inputs(), *session.get_outputs())] == ["embedding", "enhanced"]


def _is_torchscript(path: Path) -> bool:
    return is_zipfile(path) and any(name.endswith("reseed/stages/export_model.py") for name in ZipFile(path).namelist())


_IS_ONE = {"onnx": _is_onnx, "torchscript": _is_torchscript}

FORMATS: dict[str, tuple[Callable[..., None], Callable[..., NDArray[np.float32]]]] = {
    "onnx": (_write_onnx, _run_onnx),
    "torchscript": (_write_torchscript, _run_torchscript),
}


def _embeddings(rows: int, dim: int) -> Tensor:
    return torch.randn(rows, dim, generator=torch.Generator().manual_seed(rows))


def _check_deterministic(network: Enhancer, model: Path) -> None:
    once, again = (
        network.enhance(_embeddings(_CHECKED, network.dim), torch.Generator().manual_seed(seed)) for seed in (0, 1)
    )
    if not torch.equal(once, again):
        raise ModelError(f"model {model} draws noise, which a file cannot; export one made with noise_draws=0")
