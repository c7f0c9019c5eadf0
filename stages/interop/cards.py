"""Cards in the form of Hugging Face's Hub: YAML that machines read, and Markdown below it.

https://huggingface.co/docs/hub/datasets-cards and model-cards say what the keys mean.
"""

import json
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import yaml

from reseed.store import EmbeddingStore, Reject

_TAG = "reseed"
_SIZES = ((10**exponent, name) for exponent, name in enumerate(("1K", "10K", "100K", "1M", "10M", "100M", "1B"), 3))
_LIMITS_OF_SIZE = tuple(_SIZES)
_RATES = {"eer": "EER", "min_dcf": "minDCF"}


def front_matter(text: str) -> dict[str, Any]:
    """Return the YAML that a card begins with; nothing where there is none."""
    parts = text.split("---\n", 2)
    try:
        found = yaml.safe_load(parts[1]) if len(parts) == 3 and not parts[0] else {}
    except yaml.YAMLError:
        return {}
    return found if isinstance(found, dict) else {}


def is_card(text: str) -> bool:
    """Whether a text is a card made here."""
    tags = front_matter(text).get("tags")
    return isinstance(tags, list) and _TAG in tags


def dataset_card(store: EmbeddingStore, rejects: Sequence[Reject], license: str | None) -> str:
    """Return the card of a store, as it is exported to Parquet files beside the card.

    Args:
        license: its name on the Hub; None: nothing is said.
    """
    declared, rows = store.header.declaration, len(store)
    head = {
        **({"license": license} if license else {}),
        "task_categories": ["feature-extraction"],
        "tags": [_TAG, "embeddings", *_names_of(store.space)],
        "size_categories": [_size_category(rows)],
        "configs": [{"config_name": "default", "data_files": [{"split": "train", "path": "*.parquet"}]}],
    }
    speakers = {name for name in store.speaker_ids() if name is not None}
    counts = {
        "vectors": f"{rows:,} of {store.dim} dimensions, {declared.dtype} in the store, float32 in Parquet",
        "utterances": f"{store.header.stored:,} stored, {store.header.rejected:,} left out",
        "speakers": f"{len(speakers):,} named" if speakers else "none named",
        "crops of an utterance": f"{store.crops:,}",
        "embedding space": f"`{store.space}`",
        "fingerprint": f"`{store.fingerprint}`",
    }
    return _card(head, f"{rows:,} embeddings of {store.space.partition(':')[0]}", _dataset_body(store, counts, rejects))


def model_card(readme: str, names: Sequence[str], license: str | None, system: str, rows: Sequence[Any]) -> str:
    """Return the card of a trained folder: its README.md with what the Hub reads, and the error rates of a report.

    Args:
        readme: what the training wrote.
        names: what the model is and for what, further tags.
        system, rows: its name in a report, and its rows of metrics.json; none: there is no report.
    """
    head: dict[str, Any] = {
        **({"license": license} if license else {}),
        "library_name": "reseed",
        "tags": [_TAG, "embeddings", *names],
    }
    if rows:
        head |= {"metrics": [name for name in _RATES if any(name in row for row in rows)]}
        head |= {"model-index": [{"name": system, "results": [*map(_result, rows)]}]}
    return _begun(head) + readme.rstrip() + "\n" + ("\n".join(["", *_measured(rows), ""]) if rows else "")


def _begun(head: Mapping[str, Any]) -> str:
    return f"---\n{yaml.safe_dump(head, sort_keys=False, allow_unicode=True)}---\n\n"


def _card(head: Mapping[str, Any], title: str, body: Iterator[str]) -> str:
    return _begun(head) + f"# {title}\n\n" + "\n".join(body).rstrip() + "\n"


def _names_of(space: str) -> list[str]:
    """Return what a space was made by, "ge2e:1a2b+seed:3c4d" being ge2e and seed."""
    return list(dict.fromkeys(part.partition(":")[0] for part in space.replace("~", "+").split("+")))


def _size_category(rows: int) -> str:
    below = "n"
    for limit, name in _LIMITS_OF_SIZE:
        if rows < limit:
            return f"{below}<{name}" if below == "n" else f"{below}<n<{name}"
        below = name
    return f"n>{below}"


def _dataset_body(store: EmbeddingStore, counts: Mapping[str, str], rejects: Sequence[Reject]) -> Iterator[str]:
    declared = store.header.declaration
    yield "Vectors of a store of reseed: one for each utterance, crop and view."
    yield from ("", "| | |", "|---|---|", *(f"| {name} | {value} |" for name, value in counts.items()), "")
    yield from ("## Views", "", "A view is a rendering of every utterance; the column `view` names it.", "")
    yield from ("| view | recipe |", "|---|---|")
    yield from (f"| `{_cell(name)}` | `{_cell(json.dumps(recipe))}` |" for name, recipe in store.recipes.items())
    yield from ("", "## Provenance", "", "Digests of all that the vectors were made from:", "")
    yield from ("| what | SHA-256 |", "|---|---|")
    yield from (f"| {parent['role']} | `{parent['digest']}` |" for parent in declared.lineage_digests())
    yield from (f"| edited: {edit.what} | `{edit.digest}` |" for edit in declared.inputs.edits)
    yield from ("", *_loading(store), *_limits(rejects))


def _cell(text: str) -> str:
    return " ".join(text.split()).replace("|", r"\|")


def _loading(store: EmbeddingStore) -> Iterator[str]:
    yield from ("## Load it", "", "```python", "from datasets import load_dataset", "")
    yield 'data = load_dataset("OWNER/NAME", split="train").with_format("numpy")'
    yield f'data["embedding"][:10]  # [10, {store.dim}]'
    yield from (
        "```",
        "",
        "`reseed import FILE.parquet --store STORE` makes the store again. Columns beside `embedding`:",
    )
    yield from (", ".join(f"`{name}`" for name in (store.shard(0).columns if store.shards else [])) + ".", "")


def _limits(rejects: Sequence[Reject]) -> Iterator[str]:
    stages = [reject.stage for reject in rejects]
    yield from ("## Known limits", "")
    yield from (f"* `{stage}` left out {stages.count(stage):,} utterances." for stage in dict.fromkeys(stages))
    yield "* Vectors of two embedding spaces cannot be compared; compare within the one named above alone."
    yield "* They know what the network that made them was trained on, with its gaps: judge by trials like your own."
    yield "* A vector of a voice or face recognises its person again: it is personal data as the recording is."
    yield "* The terms of the network and of the recordings may bind the vectors too; this card grants nothing."


def _result(row: Mapping[str, Any]) -> dict[str, Any]:
    name = f"{row['condition']}, {row['scoring']}" if "scoring" in row else str(row["condition"])
    metrics = [
        {"type": key, "name": f"{label}, {name}", "value": row[key]} for key, label in _RATES.items() if key in row
    ]
    of = {"type": str(row["condition"]) or "trials", "name": str(row["condition"]) or "trials"}
    return {"task": {"type": "speaker-verification"}, "dataset": of, "metrics": metrics}


def _measured(rows: Sequence[Mapping[str, Any]]) -> Iterator[str]:
    yield from (
        "## Measured",
        "",
        "On trials of the report that this card was made with; 95 % intervals in brackets.",
        "",
    )
    yield from ("| condition | scoring | EER | minDCF |", "|---|---|---|---|")
    for row in rows:
        ends = row.get("eer_ci95")
        between = f" ({100 * ends[0]:.2f} to {100 * ends[1]:.2f})" if ends else ""
        cost = f"{row['min_dcf']:.3f}" if "min_dcf" in row else ""
        yield f"| {row['condition']} | {row.get('scoring', '')} | {100 * row['eer']:.2f} %{between} | {cost} |"
