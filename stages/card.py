"""`reseed card`: the card of a store or of a trained model, in the form of Hugging Face's Hub."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from reseed.stages.aligners.folder import FOLDER as ALIGNMENT
from reseed.stages.backbones.folder import FOLDER as BACKBONE
from reseed.stages.enhancers.folder import FOLDER as MODEL
from reseed.stages.frontends.folder import FOLDER as FRONTEND
from reseed.stages.interop.cards import dataset_card, is_card, model_card
from reseed.stages.training.folder import CARD, TrainedFolder
from reseed.store import ConfigError, EmbeddingStore, ModelError, ScoringError, StoreError
from reseed.store.atomic import write_text
from reseed.store.bounded import read_json, read_text
from reseed.store.outputs import check_apart, check_file
from reseed.store.url import AnyPath

_FOLDERS: tuple[TrainedFolder[Any], ...] = (MODEL, ALIGNMENT, BACKBONE, FRONTEND)


def card(
    *,
    source: AnyPath,
    output: Path | None = None,
    license: str | None = None,
    report: Path | None = None,
    system: str | None = None,
) -> str:
    """Return the card of a store or model, and write it where that is asked for.

    Args:
        source: a store, or a folder of `reseed train`, `align`, `train-backbone` or `train-frontend`.
        output: file to write; an older card made here is replaced.
        license: its name on the Hub, "cc-by-4.0".
        report: of a model: report folder or metrics.json with its error rates.
        system: what the report calls it; None: as the folder is called.

    Raises:
        StoreError: the store is damaged, or `source` is neither.
        ModelError: the model is damaged.
        ScoringError: the report cannot be read, or has no such system.
        ConfigError: a store and a report, or something else is at `output`.
    """
    if output is not None:
        check_apart([output], [source, report])
        check_file(output, "a card made by reseed", lambda path: is_card(read_text(path)))
    folder = next((folder for folder in _FOLDERS if (source / folder.info_file).is_file()), None)
    if folder is not None and isinstance(source, Path):
        text = _of_model(folder, source, license, report, system or source.resolve().name)
    elif report is not None:
        raise ConfigError(f"{source} is no trained model, and a report is of models; leave --report out")
    else:
        text = _of_store(source, license)
    if output is not None:
        write_text(output, text)
    return text


def _of_store(source: AnyPath, license: str | None) -> str:
    store = EmbeddingStore(source)
    if len(store) == 0:
        raise StoreError(f"{source} holds no vectors; there is nothing to publish")
    return dataset_card(store, store.rejects(), license)


def _of_model(folder: TrainedFolder[Any], source: Path, license: str | None, report: Path | None, system: str) -> str:
    info = folder.read(source)[0].model_dump(mode="json")
    try:
        readme = read_text(source / CARD)
    except (OSError, ValueError) as error:
        raise ModelError(f"{source / CARD} cannot be read ({error}); make it again with `{folder.command}`") from error
    for place in _places(info):
        readme = readme.replace(place, Path(place).name)
    made_by = [info[key] for key in ("enhancer", "method", "backbone") if key in info]
    return model_card(readme, made_by, license, system, [] if report is None else _rows(report, system))


def _places(value: Any) -> Iterator[str]:
    """Yield absolute paths of this machine, which are nobody else's business."""
    for inner in value.values() if isinstance(value, dict) else value if isinstance(value, list) else ():
        yield from _places(inner)
    if isinstance(value, str) and value.startswith("/"):
        yield value


def _rows(report: Path, system: str) -> list[dict[str, Any]]:
    path = report / "metrics.json" if report.is_dir() else report
    try:
        rows = read_json(path)
        found = [row for row in rows if row["system"] == system and isinstance(row["eer"], int | float)]
        names = dict.fromkeys(str(row["system"]) for row in rows)
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise ScoringError(
            f"{path} is no metrics.json ({error}); make one with `reseed report` or `evaluate`"
        ) from error
    if not found:
        raise ScoringError(f"{path} has no system {system!r}; it has {', '.join(names) or 'none'}: name it by --system")
    return found
