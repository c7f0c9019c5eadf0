"""Where each artefact of a run lives: the only place that joins these paths.

All paths are relative to the run's folder, where Snakemake works; they may hold its {wildcards}. The file of a folder
that is written last, and so says that it is finished, has a function of its own, e.g. `store_json`.
"""

from pathlib import Path

from reseed.pipeline.names import AlignedEmbeddings, Embeddings
from reseed.store import ConfigError
from reseed.store.format import HEADER_NAME
from reseed.store.url import AnyPath

Named = str | Embeddings | AlignedEmbeddings
CONFIG = Path("config.yaml")
DRY_CONFIG = Path(".dry-run.yaml")
LOCK = Path(".lock")
SYNTHETIC_ROOT = Path("corpus/synthetic")
SYNTHETIC_MARKER = SYNTHETIC_ROOT / "synthesis.json"
TRIALS = Path("corpus/trials.parquet")
ENROLMENTS = Path("corpus/enrolments.parquet")
HELD_OUT_TRIALS = Path("corpus/held_out.trials.parquet")
HELD_OUT_ENROLMENTS = Path("corpus/held_out.enrolments.parquet")
LEAKAGE = Path("corpus/leakage.json")
AUDIT = Path("audit/index.html")
REPORT = Path("report")
PAGE = REPORT / "index.html"
METRICS = REPORT / "metrics.json"
CONCLUSIONS = REPORT / "conclusions.json"
RESULTS_CONFIG = REPORT / "config.yaml"
RESULTS_DIGESTS = REPORT / "digests.json"
SUPERSEDED = Path("superseded")
SLURM_LOGS = Path("logs/slurm")
EVENTS = Path(".snakemake/events.jsonl")
SAID = Path(".snakemake/said.log")  # by Snakemake


def check_run(folder: Path) -> None:
    """Check that a folder is that of a run.

    Raises:
        ConfigError: it is not; of a store, names the run that it lies in.
    """
    if (folder / CONFIG).is_file():
        return
    if not (folder / HEADER_NAME).is_file():
        raise ConfigError(f"{folder} is no run: it has no {CONFIG}; give a folder such as runs/demo")
    above = Path(*folder.parts[:-3])
    is_run = folder.parts[-3:-2] == ("stores",) and (above / CONFIG).is_file()
    raise ConfigError(f"{folder} is a store; give {f'its run, {above}' if is_run else 'a run, such as runs/demo'}")


def manifest(split: str, kind: str) -> Path:
    """Manifest of one kind of recordings: "speech", "noise", "music" or "rir"."""
    return Path("corpus") / split / kind / "utterances.parquet"


def rejects(split: str, kind: str) -> Path:
    """What `prepare` could not use of that kind."""
    return Path("corpus") / split / kind / "rejects.parquet"


def held_out(split: str) -> Path:
    """The speech of one split that calibration is fitted on."""
    return Path("corpus") / split / "held_out.parquet"


def rest(split: str) -> Path:
    """The speech of that split that is not held out: cohort, and what PLDA is fitted on."""
    return Path("corpus") / split / "rest.parquet"


def listing(split: str, kind: str) -> Path:
    """What a store listed of that kind: to have it listed again, remove this file."""
    return Path("corpus") / split / kind / "listing.parquet"


def recordings(root: AnyPath, split: str, kind: str) -> AnyPath:
    """Where a corpus folder keeps the recordings of one kind."""
    return root / kind / split


def store(embeddings: Named, split: str) -> Path:
    """The embeddings of one split, by name: "ge2e", or enhanced, "ge2e+vire" (see reseed.pipeline.names)."""
    return Path("stores") / str(embeddings) / split


def store_json(embeddings: Named, split: str) -> Path:
    return store(embeddings, split) / "store.json"


def extracted(backbone: str, split: str, job: str) -> Path:
    """What `reseed extract --job` leaves once its shards are sealed; they are kept whatever becomes of it."""
    return Path("stores") / backbone / f"{split}.jobs" / job


def model(name: str) -> Path:
    """An enhancer: "vire" of the configured backbone, "small/vire" of another one (see reseed.pipeline.names)."""
    return Path("models") / name


def model_json(name: str) -> Path:
    return model(name) / "model.json"


def backbone(name: str) -> Path:
    """A backbone that the run trains."""
    return Path("backbones") / name


def backbone_json(name: str) -> Path:
    return backbone(name) / "backbone.json"


def frontend(name: str) -> Path:
    """A front end that the run trains."""
    return Path("frontends") / name


def frontend_json(name: str) -> Path:
    return frontend(name) / "frontend.json"


def alignment(pair: str, name: str) -> Path:
    """The maps of a pair of backbones, "ge2e~small"."""
    return Path("models") / pair / name


def alignment_json(pair: str, name: str) -> Path:
    return alignment(pair, name) / "alignment.json"


def scores(system: str) -> Path:
    return Path("scores") / f"{system}.parquet"


def held_out_scores(system: str) -> Path:
    return Path("scores/held_out") / f"{system}.parquet"


def calibrated(system: str) -> Path:
    """Calibrated scores of a system, or of several that are fused, "raw+vire"."""
    return Path("scores") / f"{system}.calibrated.parquet"


def quality(split: str) -> Path:
    return Path("quality") / f"{split}.parquet"


def identification(system: str) -> Path:
    return Path("scores") / f"{system}.identification.parquet"


def superseded(digest: str) -> Path:
    """A report that another one has taken the place of, with the settings it is of."""
    return SUPERSEDED / digest


def log(rule: str, *wildcards: str) -> Path:
    return Path("logs") / (".".join((rule, *wildcards)) + ".log")


def usage(rule: str, *wildcards: str) -> Path:
    """Time and memory of a step."""
    return Path("logs") / (".".join((rule, *wildcards)) + ".usage.tsv")


def project_file(name: str) -> Path:
    """Find "Snakefile" or "configs", which lie at the top of the package, in a checkout as in an installation."""
    return Path(__file__).resolve().parents[1] / name
