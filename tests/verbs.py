"""Every command that writes, over one small corpus: what it is called with, and what it leaves where."""

import json
import shutil
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import torch
import yaml

from reseed.stages.enhancers.mlp import RdmMlp
from reseed.store import EmbeddingStore
from reseed.store.states import REMOVAL_NAME
from tests.corpus import write_corpus
from tests.warm import ask

# They write nothing.
READING = {"browse", "check-backbone", "config", "doctor", "info", "neighbours", "runs", "sql", "status", "threshold"}
WHOLE_RUNS = {"run", "demo"}
VIEWS = {"clean": {}, "noise": {"noise": [0, 15]}}
_NOISY = {"noise": {"noise": [-5, 5]}}
_ONE = {"train": 1, "dev": 1, "test": 1}
_SYNTHESIS = {
    "voices": _ONE,
    "utterances_per_voice": _ONE,
    "noises": _ONE,
    "noise_duration_s": 1.0,
    "music": _ONE,
    "rooms": _ONE,
}
_CONFIG = {
    "name": "toy",
    "extract": {
        "shards": 2,
        "train": {"crops": {"count": 2, "duration_s": 1.6}, "views": VIEWS},
        "evaluation": {"crops": {"count": 1, "duration_s": 1.6}, "views": VIEWS},
    },
    "train": {"wccn": {}, "quick": {"method": "mse", "epochs": 2}},
    "backbones": {
        "small": {"backbone": "ecapa_tdnn", "channels": 8, "dimensions": 16, "bands": 24, "crop_s": 0.4, "epochs": 1}
    },
    "frontends": {"mask": {"epochs": 1, "width": 2, "batch": 8, "views": _NOISY, "crop_s": 1.6}},
    "align": {"turned": {"method": "procrustes"}},
    "calibrate": {"share": 0.5},
    "report": {"bootstrap_replicates": 5},
}


@dataclass(frozen=True)
class Verb:
    """One command.

    Attributes:
        line: the command, as one would type it.
        made: what it writes.
        start: a copy of this, as `made`, is what it changes; empty: there is nothing before.
        again: what else it may say when it is repeated where it had done its work.
    """

    line: str
    made: tuple[str, ...]
    start: str = ""
    refused: str = ""

    @property
    def command(self) -> str:
        return self.line.split()[0]


def _speech(split: str) -> str:
    return f"--config toy.yaml --utterances corpus/{split}.parquet --noise corpus/{split}.noise.parquet"


_FORMATS = ("parquet", "kaldi", "npy", "webdataset")

# In an order in which each finds what it reads.
VERBS = {
    "init": Verb("init begun", ("begun",), refused="exists"),
    "synthesise": Verb("synthesise --config synthetic.yaml --root synthetic", ("synthetic",)),
    **{
        f"prepare-{name}": Verb(
            f"prepare --config toy.yaml --source audio/{kind}/{split} --kind {kind} --utterances corpus/{name}.parquet"
            f" --rejects corpus/{name}.rejects.parquet",
            (f"corpus/{name}.parquet", f"corpus/{name}.rejects.parquet"),
        )
        for split in ("train", "dev")
        for name, kind in ((split, "speech"), (f"{split}.noise", "noise"))
    },
    "divide": Verb(
        "divide --config toy.yaml --utterances corpus/train.parquet --held-out corpus/held_out.parquet"
        " --rest corpus/rest.parquet",
        ("corpus/held_out.parquet", "corpus/rest.parquet"),
    ),
    **{
        f"trials-{split}": Verb(
            f"trials --config toy.yaml --utterances corpus/{split}.parquet --trials corpus/{split}.trials.parquet"
            f" --enrolments corpus/{split}.enrolments.parquet",
            (f"corpus/{split}.trials.parquet", f"corpus/{split}.enrolments.parquet"),
        )
        for split in ("dev", "rest")
    },
    "leakage": Verb(
        "leakage --training utterances=corpus/train.parquet --evaluation utterances=corpus/dev.parquet"
        " --out leakage.json",
        ("leakage.json",),
    ),
    "extract": Verb(f"extract {_speech('train')} --store stores/train", ("stores/train",)),
    "extract-job": Verb(f"extract {_speech('train')} --job 1/2 --store stores/job", ("stores/job", "stores/job.jobs")),
    "extract-dev": Verb(f"extract {_speech('dev')} --section evaluation --store stores/dev", ("stores/dev",)),
    "extract-rest": Verb(
        "extract --config toy.yaml --utterances corpus/rest.parquet --noise corpus/train.noise.parquet"
        " --store stores/rest",
        ("stores/rest",),
    ),
    "append": Verb(f"append {_speech('train')} --store stores/grown --shards 2", ("stores/grown",), "stores/rest"),
    "extend": Verb(
        f'extend {_speech("train")} --set extract.train.views.loud={{"noise":0}} --store stores/extended',
        ("stores/extended",),
        "stores/train",
    ),
    "drop": Verb("drop stores/less --speaker toy/s1 --utterance toy/s2/s2-0", ("stores/less",), "stores/train"),
    "drop-view": Verb("drop stores/fewer --view noise", ("stores/fewer",), "stores/train", "has no view"),
    "verify": Verb("verify stores/completed", ("stores/completed",), "stores/interrupted"),
    "compact": Verb("compact stores/joined --rows 1000", ("stores/joined",), "stores/train"),
    "expire": Verb("expire stores/expired", ("stores/expired",), "stores/fewer"),
    "compact-half": Verb("compact stores/halved --rows 1 --dtype float16", ("stores/halved",), "stores/train"),
    "replay": Verb("replay stores/dev toy/s10/s10-0 --view noise --out heard.wav --recordings .", ("heard.wav",)),
    "audit": Verb("audit stores/train --against stores/dev --out audit.html", ("audit.html",)),
    **{
        f"train-{system}": Verb(
            f"train --config toy.yaml --system {system} --store stores/train --model models/{system}",
            (f"models/{system}",),
        )
        for system in ("wccn", "quick")
    },
    "sweep": Verb(
        "sweep --config toy.yaml --system quick --vary lr=0.1,0.01 --store stores/train --out swept", ("swept",)
    ),
    "train-backbone": Verb(
        "train-backbone --config toy.yaml --name small --utterances corpus/train.parquet --model backbones/small",
        ("backbones/small",),
    ),
    "extract-small": Verb(
        f"extract {_speech('train')} --trained backbones/small --store stores/small", ("stores/small",)
    ),
    "train-frontend": Verb(
        f"train-frontend {_speech('train')} --name mask --store stores/train --model frontends/mask",
        ("frontends/mask",),
    ),
    "denoise": Verb("denoise audio/speech/dev denoised --config toy.yaml --frontend frontends/mask", ("denoised",)),
    "align": Verb(
        "align --config toy.yaml --name turned --enrolment stores/train --test stores/small --model models/turned",
        ("models/turned",),
    ),
    "map": Verb(
        "map --store stores/small --model models/turned --side test --mapped stores/mapped", ("stores/mapped",)
    ),
    "upgrade": Verb(
        "upgrade stores/train --from stores/train --to stores/small --method ridge --model models/upgrade"
        " --upgraded stores/upgraded",
        ("models/upgrade", "stores/upgraded"),
    ),
    "adopt": Verb("adopt seed.pth --store stores/train --model models/adopted", ("models/adopted",)),
    **{
        f"export-model-{kind}": Verb(
            f"export-model models/quick --out quick.{kind} --format {kind}", (f"quick.{kind}",)
        )
        for kind in ("onnx", "torchscript")
    },
    "enhance": Verb("enhance --store stores/dev --model models/quick --enhanced stores/enhanced", ("stores/enhanced",)),
    **{
        f"score-{system}": Verb(
            f"score --config toy.yaml --store stores/{store} --trials corpus/{split}.trials.parquet"
            f" --utterances corpus/{split}.parquet --system {system} --scores scores/{system}.parquet"
            f" --identification scores/{system}.identification.parquet",
            (f"scores/{system}.parquet", f"scores/{system}.identification.parquet"),
        )
        for system, store, split in (("raw", "dev", "dev"), ("quick", "enhanced", "dev"), ("held_out", "rest", "rest"))
    },
    "quality": Verb(
        "quality --store stores/dev --reference stores/train --utterances corpus/dev.parquet --quality quality.parquet",
        ("quality.parquet",),
    ),
    "annotate": Verb("annotate stores/annotated quality.parquet --column norm", ("stores/annotated",), "stores/dev"),
    "calibrate": Verb(
        "calibrate --config toy.yaml --held-out scores/held_out.parquet --scores scores/raw.parquet"
        " --calibrated scores/calibrated.parquet",
        ("scores/calibrated.parquet",),
    ),
    "all-pairs": Verb("all-pairs stores/train --top 3 --out near.parquet", ("near.parquet",)),
    "report": Verb(
        "report --config toy.yaml --scores scores/raw.parquet --identification scores/raw.identification.parquet"
        " --store stores/dev --utterances corpus/dev.parquet --out report",
        ("report",),
    ),
    "evaluate": Verb("evaluate scores/raw.parquet --replicates 5 --out evaluated", ("evaluated",)),
    "compare": Verb("compare first second --out compared --set bootstrap_replicates=5", ("compared",)),
    **{
        f"export-{kind}": Verb(f"export stores/train --out exported.{kind} --format {kind}", (f"exported.{kind}",))
        for kind in _FORMATS
    },
    "copy": Verb("copy stores/train stores/copied", ("stores/copied",)),
    "card": Verb("card stores/train --out card.md", ("card.md",)),
    "card-model": Verb("card models/quick --out model.md", ("model.md",)),
    **{
        f"import-{kind}": Verb(
            f"import exported.{kind} --store stores/from_{kind} --format {kind} --set rows_per_shard=40",
            (f"stores/from_{kind}",),
        )
        for kind in _FORMATS
    },
}


def write_house(house: Path, finished: Path | None, names: Iterable[str]) -> None:
    """Write a folder in which some verbs have been called once.

    Args:
        finished: a finished run, which `compare` reads.
    """
    write_corpus(house / "audio", speakers=4, takes=4)
    config = {**_CONFIG, "corpus": {"root": str(house / "audio")}}
    (house / "toy.yaml").write_text(yaml.safe_dump(config))
    synthetic = {"name": "made", "synthesise": _SYNTHESIS, "extract": _CONFIG["extract"], "train": {}}
    (house / "synthetic.yaml").write_text(yaml.safe_dump(synthetic))
    torch.manual_seed(0)
    torch.save(RdmMlp(256).state_dict(), house / "seed.pth")
    for name in ("first", "second") if finished else ():
        shutil.copytree(finished, house / name)
    for verb in (VERBS[name] for name in names):
        if verb.command == "verify":
            _interrupt_removal(house / "stores")
        begin(verb, house)
        status, said = ask(*verb.line.split(), folder=house)
        assert status == 0, f"{verb.line}: {said}"


def _interrupt_removal(stores: Path) -> None:
    """Leave a store as a drop does that is killed before it removes the first file."""
    shutil.copytree(stores / "less", stores / "interrupted")
    shutil.copytree(stores / "train" / "shards", stores / "interrupted" / "shards", dirs_exist_ok=True)
    kept = {path.name for path in (stores / "less" / "shards").iterdir()}
    removed = [f"shards/{path.name}" for path in (stores / "train" / "shards").iterdir() if path.name not in kept]
    shards = [shard.name for shard in EmbeddingStore(stores / "less").shards]
    planned = {"shards": shards, "remove": removed, "retire": []}
    (stores / "interrupted" / REMOVAL_NAME).write_text(json.dumps(planned))


def begin(verb: Verb, house: Path) -> None:
    """Bring a folder to the state before a command is called."""
    for name in verb.made:
        remove(house / name)
    if verb.start:
        shutil.copytree(house / verb.start, house / verb.made[0])


def remove(path: Path) -> None:
    shutil.rmtree(path) if path.is_dir() else path.unlink(missing_ok=True)
