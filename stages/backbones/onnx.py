"""Any exported speaker network, run by onnxruntime: on waveforms, or on Kaldi's filter-bank features.

What the features must be is read from the file where it says so, as the exports of sherpa-onnx do; else it is what
WeSpeaker (arXiv 2210.17016) trains with, or, for an input named as by 3D-Speaker's exporter (arXiv 2306.15354), what
3D-Speaker does: waveforms in -1..1 and Povey's window.

Shapes: B batch, T samples, F frames, M mel bands, D embedding dimension.
"""

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from reseed.stages.backbones.base import Backbone
from reseed.stages.backbones.features import in_full_precision, repeated
from reseed.stages.backbones.kaldi import KaldiFbank
from reseed.stages.backbones.settings import OnnxConfig, external_data
from reseed.stages.backbones.weights import present
from reseed.store import ConfigError, ModelError
from reseed.store.atomic import sha256_file

if TYPE_CHECKING:
    import onnxruntime

TYPES = {"tensor(float)": np.float32, "tensor(float16)": np.float16}
N_MELS = 80
PROBE_S = 1.0


@dataclass(frozen=True)
class FrontEnd:
    """What is done to waveforms in -1..1 before the network; the fields are those of OnnxConfig."""

    input: str
    sample_rate_hz: int
    scale: float
    n_mels: int | None = None
    window: str | None = None
    cmn: bool | None = None


class Onnx(Backbone):
    """A network with one input and one embedding for each waveform; D is what it gives.

    A network exported for one waveform at a time is run row by row. On a GPU it runs where onnxruntime has its
    CUDAExecutionProvider, else on the CPU.
    """

    name = "onnx"
    Config = OnnxConfig

    def __init__(self, config: OnnxConfig) -> None:
        super().__init__()
        self.path = present(config.model)
        self.opened_on = torch.device("cpu")
        self.session = open_session(self.path, self.opened_on)
        self.input = _one_input(self.session, self.path)
        self.output = _one_output(self.session, self.path, config.output)
        self.front_end = given = front_end(config, self.session, self.path)
        self.sample_rate_hz = given.sample_rate_hz
        if given.n_mels is not None and given.window is not None:
            self.fbank = KaldiFbank(given.sample_rate_hz, given.n_mels, given.window)
        self.weights_sha256 = [sha256_file(path) for path in (self.path, *external_data(self.path))]
        self.embedding_dim = self._probe()

    def identity(self) -> dict[str, Any]:
        return {
            "backbone": self.name,
            "weights_sha256": self.weights_sha256,
            "output": self.output,
            "features": asdict(self.front_end),
        }

    def frozen(self, device: str | torch.device = "cpu") -> Self:
        """As every backbone; where `device` is another than so far, the network is opened again."""
        if torch.device(device) != self.opened_on:
            self.opened_on = torch.device(device)
            self.session = open_session(self.path, self.opened_on)
        return super().frozen(device)

    def forward(self, waveform_BT: Tensor) -> Tensor:
        fed = in_full_precision(self.features, waveform_BT).cpu().numpy().astype(TYPES[self.input.type])
        # An axis of the batch that is exported as 1 takes one waveform at a time.
        batches = np.split(fed, len(fed)) if self.input.shape[0] == 1 else [fed]
        embedding_BD = np.concatenate([self._run(batch) for batch in batches])
        return torch.from_numpy(embedding_BD.astype(np.float32)).to(waveform_BT.device)

    def features(self, waveform_BT: Tensor) -> Tensor:
        """Return what the network is fed: waveforms [B, T] ([B, 1, T] if it asks for them), or bands [B, F, M]."""
        scaled_BT = waveform_BT * self.front_end.scale
        if self.front_end.input == "waveform":
            return scaled_BT[:, None] if len(self.input.shape) == 3 else scaled_BT
        band_BFM = self.fbank(repeated(scaled_BT, self.fbank.frame_samples))
        return band_BFM - band_BFM.mean(dim=1, keepdim=True) if self.front_end.cmn else band_BFM

    def _run(self, fed: NDArray[Any]) -> NDArray[Any]:
        try:
            (embedding,) = self.session.run([self.output], {self.input.name: fed})
        except Exception as error:  # onnxruntime's exceptions share no base
            raise self._misfit(f"does not run on {self.front_end.input} of shape {list(fed.shape)}") from error
        if len(embedding) != len(fed) or embedding[0].size != max(embedding.shape[1:], default=0):
            raise self._misfit(f"gives {self.output} of shape {list(embedding.shape)}, not a vector for each waveform")
        return embedding.reshape(len(fed), -1)

    def _probe(self) -> int:
        length = self.input.shape[-1] if self.front_end.input == "waveform" else self.input.shape[1]
        samples = round(PROBE_S * self.sample_rate_hz)
        if isinstance(length, int):
            fbank = self.front_end.input == "fbank"
            samples = self.fbank.frame_samples + (length - 1) * self.fbank.shift_samples if fbank else length
        generator = torch.Generator().manual_seed(0)
        return self(0.01 * torch.randn(1, samples, generator=generator)).shape[1]

    def _misfit(self, fault: str) -> ModelError:
        return ModelError(f"{self.path} {fault}; {described(self.session)}")


def open_session(path: Path, device: torch.device) -> "onnxruntime.InferenceSession":
    """Open an ONNX file for `device`.

    Raises:
        ModelError: it is no ONNX file, or one that this onnxruntime cannot run.
    """
    import onnxruntime  # it starts threads, beside which no process may be forked

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = torch.get_num_threads()
    options.log_severity_level = 3
    providers: list[Any] = ["CPUExecutionProvider"]
    if device.type == "cuda" and "CUDAExecutionProvider" in onnxruntime.get_available_providers():
        providers.insert(0, ("CUDAExecutionProvider", {"device_id": device.index or 0}))
    try:
        return onnxruntime.InferenceSession(path, options, providers=providers)
    except Exception as error:  # onnxruntime's exceptions share no base
        reason = " ".join(str(error).split())
        raise ModelError(f"{path} is no ONNX file that onnxruntime can run: {reason}") from error


def front_end(config: OnnxConfig, session: "onnxruntime.InferenceSession", path: Path) -> FrontEnd:
    """Settle what precedes the network: settings, then the file's own words, then the habits of its exporter.

    Raises:
        ModelError: the input is neither waveforms nor bands, or its features are none that are known.
    """
    node, facts = session.get_inputs()[0], session.get_modelmeta().custom_metadata_map
    rate = config.sample_rate_hz or int(facts.get("sample_rate", 16_000))
    kind = config.input if config.input != "auto" else _kind(node.shape)
    if kind is None or (kind == "fbank" and len(node.shape) != 3):
        unclear = f"{path}: cannot tell whether it takes waveforms or fbank"
        raise ModelError(f"{unclear}; {described(session)}; set backbone.settings.input")
    if kind == "waveform":
        if config.window or config.cmn is not None:
            raise ConfigError(f"backbone.settings: window and cmn are for input: fbank, but {path} takes waveforms")
        return FrontEnd(kind, rate, config.scale or 1.0)
    normalised = facts.get("feature_normalize_type", "global-mean")
    if normalised not in ("", "global-mean"):
        raise ModelError(f"{path} asks for features normalised by {normalised}, which is unknown here")
    speaker_3d = facts.get("framework", "") == "3d-speaker" or node.name == "feature"
    unscaled = facts["normalize_samples"] == "1" if "normalize_samples" in facts else speaker_3d
    return FrontEnd(
        kind,
        rate,
        config.scale or (1.0 if unscaled else 32768.0),
        node.shape[2] if isinstance(node.shape[2], int) else N_MELS,
        config.window or ("povey" if speaker_3d else "hamming"),
        normalised != "" if config.cmn is None else config.cmn,
    )


def _kind(shape: list[Any]) -> str | None:
    if len(shape) == 2 or (len(shape) == 3 and shape[1] == 1):
        return "waveform"
    return "fbank" if len(shape) == 3 and isinstance(shape[2], int) and not isinstance(shape[1], int) else None


def _one_input(session: "onnxruntime.InferenceSession", path: Path) -> Any:
    nodes = session.get_inputs()
    if len(nodes) != 1 or nodes[0].type not in TYPES or len(nodes[0].shape) not in (2, 3):
        raise ModelError(f"{path} does not take waveforms [B, T] or bands [B, F, M] alone; {described(session)}")
    if isinstance(nodes[0].shape[0], int) and nodes[0].shape[0] != 1:
        raise ModelError(f"{path} is exported for batches of {nodes[0].shape[0]}; export it for any, or for 1")
    return nodes[0]


def _one_output(session: "onnxruntime.InferenceSession", path: Path, wanted: str | None) -> str:
    names = [node.name for node in session.get_outputs()]
    if wanted is None and len(names) == 1:
        return names[0]
    if wanted is None or wanted not in names:
        raise ConfigError(f"backbone.settings.output must name an output of {path}; {described(session)}")
    return wanted


def described(session: "onnxruntime.InferenceSession") -> str:
    """Return the inputs and outputs of a network in words."""
    ins, outs = (
        ", ".join(f"{node.name} {node.type} {node.shape}" for node in nodes)
        for nodes in (session.get_inputs(), session.get_outputs())
    )
    return f"inputs: {ins}; outputs: {outs}"
