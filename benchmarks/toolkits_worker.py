"""Extract with WeSpeaker or SpeechBrain on request, in an environment of their own; nothing of reseed is imported.

Run as a file: `python toolkits_worker.py LIST FOLDER`, LIST naming a FLAC file in each line. One request per line of
stdin, a network and a way; one JSON answer per line: seconds by the clock, seconds of all cores, how many vectors.
Weights are random: speed does not depend on them.
"""

import json
import resource
import sys
import time
import types
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import kaldiio
import soundfile
import torch
import torchaudio

BATCH, FRAMES = 64, 200
FBANK = {"num_mel_bins": 80, "frame_shift": 10, "frame_length": 25, "dither": 0.0}
Vectors = Iterator[tuple[str, Any]]


def stand_in() -> None:
    """Let WeSpeaker load with present torchaudio: libsndfile reads files; s3prl, not used here, is left out."""

    def load(path: str, normalize: bool = True, **_: object) -> tuple[torch.Tensor, int]:
        samples, rate_hz = soundfile.read(path, dtype="float32" if normalize else "int16", always_2d=True)
        return torch.from_numpy(samples.T.copy()), rate_hz

    torchaudio.load = load
    unused = types.ModuleType("s3prl.nn")
    unused.Featurizer = unused.S3PRLUpstream = object
    sys.modules |= {"s3prl": types.ModuleType("s3prl"), "s3prl.nn": unused}


def wespeaker_batched(model: torch.nn.Module, files: list[str], folder: Path) -> Vectors:
    """As wespeaker/bin/extract.py, which asks for a GPU: its data set, loader of one process, and normalisation."""
    from torch.utils.data import DataLoader
    from wespeaker.dataset.dataset import Dataset
    from wespeaker.dataset.dataset_utils import apply_cmvn

    lines = folder / "raw.list"
    lines.write_text("".join(json.dumps({"key": file, "wav": file, "spk": "-"}) + "\n" for file in files))
    settings = {"speed_perturb": False, "filter": False, "aug_prob": 0.0, "num_frms": FRAMES, "fbank_args": FBANK}
    dataset = Dataset("raw", str(lines), settings, {}, repeat_dataset=False)
    for batch in DataLoader(dataset, batch_size=BATCH, num_workers=1, prefetch_factor=4):
        yield from zip(batch["key"], last(model(apply_cmvn(batch["feat"].float()))).numpy(), strict=True)


def wespeaker_files(model: torch.nn.Module, files: list[str], folder: Path) -> Vectors:
    """As `wespeaker --task embedding_kaldi`: one file after the other."""
    from wespeaker.cli.speaker import Speaker

    speaker = Speaker.__new__(Speaker)  # its constructor loads a network for speech detection, which is not used
    speaker.model, speaker.device, speaker.resample_rate = model, torch.device("cpu"), 16_000
    speaker.apply_vad, speaker.wavform_norm, speaker.window_type = False, False, "hamming"
    model.frontend_type = "fbank"
    for file in files:
        yield file, speaker.extract_embedding(file).numpy()


def speechbrain_batched(classifier: Any, files: list[str], folder: Path) -> Vectors:
    """As its recipe for VoxCeleb: its data set of dynamic items and its loader, with a process that reads."""
    from speechbrain.dataio.audio_io import load
    from speechbrain.dataio.dataloader import make_dataloader
    from speechbrain.dataio.dataset import DynamicItemDataset

    dataset = DynamicItemDataset({file: {"wav": file} for file in files})
    dataset.add_dynamic_item(lambda wav: load(wav)[0][0], takes="wav", provides="sig")
    dataset.set_output_keys(["id", "sig"])
    for batch in make_dataloader(dataset, batch_size=BATCH, num_workers=1):
        wavs, lengths = batch.sig
        yield from zip(batch.id, classifier.encode_batch(wavs, lengths)[:, 0].numpy(), strict=True)


def speechbrain_files(classifier: Any, files: list[str], folder: Path) -> Vectors:
    """As its pretrained interface is used: one file after the other."""
    from speechbrain.dataio.audio_io import load

    for file in files:
        yield file, classifier.encode_batch(load(file)[0])[0, 0].numpy()


def last(outputs: Any) -> Any:
    return outputs[-1] if isinstance(outputs, tuple) else outputs


def campplus() -> torch.nn.Module:
    from wespeaker.models.speaker_model import get_speaker_model

    return get_speaker_model("CAMPPlus")(feat_dim=80, embed_dim=192).eval()


def resnet34() -> torch.nn.Module:
    from wespeaker.models.speaker_model import get_speaker_model

    return get_speaker_model("ResNet34")(feat_dim=80, embed_dim=256, two_emb_layer=False).eval()


def ecapa() -> Any:
    from speechbrain.inference.classifiers import EncoderClassifier
    from speechbrain.lobes.features import Fbank
    from speechbrain.lobes.models.ECAPA_TDNN import ECAPA_TDNN
    from speechbrain.processing.features import InputNormalization

    network = ECAPA_TDNN(80, channels=[1024, 1024, 1024, 1024, 3072], lin_neurons=192)
    normalise = InputNormalization(norm_type="sentence", std_norm=False)
    modules = {"compute_features": Fbank(n_mels=80), "mean_var_norm": normalise, "embedding_model": network}
    return EncoderClassifier(modules | {"classifier": torch.nn.Identity()}, {}).eval()


NETWORKS: dict[str, tuple[Callable[[], Any], Callable[..., Vectors], Callable[..., Vectors]]] = {
    "campplus": (campplus, wespeaker_batched, wespeaker_files),
    "resnet34_wespeaker": (resnet34, wespeaker_batched, wespeaker_files),
    "ecapa_speechbrain": (ecapa, speechbrain_batched, speechbrain_files),
}


def cpu_s() -> float:
    """Return seconds of all cores that this process and its ended children have used."""
    uses = (resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
    return sum(use.ru_utime + use.ru_stime for use in uses)


def main() -> None:
    listing, folder = Path(sys.argv[1]), Path(sys.argv[2])
    answers, sys.stdout = sys.stdout, sys.stderr  # what the toolkits print is no answer
    stand_in()
    files = listing.read_text().split("\n")
    networks: dict[str, Any] = {}
    threads = torch.get_num_threads()
    print(json.dumps("ready"), file=answers, flush=True)
    for line in sys.stdin:
        name, way = line.split()
        build, batched, one_by_one = NETWORKS[name]
        if name not in networks:
            networks[name] = build()
            torch.set_num_threads(threads)  # silero-vad, which WeSpeaker imports, has set one
        start_s, start_cpu_s, count = time.perf_counter(), cpu_s(), 0
        with (
            torch.inference_mode(),
            kaldiio.WriteHelper(f"ark,scp:{folder}/{name}.ark,{folder}/{name}.scp") as writer,
        ):
            for key, vector in (batched if way == "batched" else one_by_one)(networks[name], files, folder):
                writer(key, vector)
                count += 1
        seconds = [time.perf_counter() - start_s, cpu_s() - start_cpu_s]
        print(json.dumps([*seconds, count]), file=answers, flush=True)


if __name__ == "__main__":
    main()
