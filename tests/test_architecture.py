"""The directions of dependency in the design, as a test: parses every module, runs none."""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
NOUNS = {
    "__init__",
    "section",
    "model",
    "score_files",
    "extraction",
    "training_settings",
    "alignment_model",
    "derived",
    "trained_folder",
    "frontend_model",
    "catalogue",
    "execution",
    "lineage",
    "replayer",
}
VERBS = {path.stem for path in (ROOT / "stages").glob("*.py")} - NOUNS


def modules(folder: str) -> list[Path]:
    return sorted((ROOT / folder).rglob("*.py"))


def imports(path: Path) -> Iterator[str]:
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: relative import"
            yield f"{node.module}"
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def forbidden(folder: str, *prefixes: str) -> list[str]:
    return [
        f"{path.relative_to(ROOT)} imports {name}"
        for path in modules(folder)
        for name in imports(path)
        if any(name == prefix or name.startswith(prefix + ".") for prefix in prefixes)
    ]


def test_store_needs_only_numpy_h5py_and_pyarrow():
    assert forbidden("store", "torch", "torchaudio", "stages", "pipeline", "cli", "dask", "pydantic", "scipy") == []


def test_stages_never_import_the_pipeline():
    assert forbidden("stages", "pipeline", "cli", "snakemake") == []


def test_scoring_needs_only_arrays_on_any_device():
    known = ("stages.audio", "stages.backbones", "stages.enhancers", "stages.scorers", "stages.score_files")
    assert forbidden("stages/scoring", "pyarrow", "h5py", "soundfile", "store.reader", *known) == []


def test_audio_and_backbones_know_nothing_above_them():
    assert forbidden("stages/audio", "stages.backbones", "stages.enhancers") == []
    assert forbidden("stages/backbones", "stages.enhancers", "stages.frontends") == []


def test_enhancers_touch_no_audio():
    assert forbidden("stages/enhancers", "stages.audio", "stages.backbones", "soundfile", "torchaudio") == []


def test_dask_is_imported_in_the_executor_alone():
    found = [line for folder in ("pipeline", "stages", "store") for line in forbidden(folder, "dask", "distributed")]
    assert [line for line in found if not line.startswith("pipeline/executor.py")] == []


@pytest.mark.parametrize("verb", sorted(VERBS))
def test_a_verb_never_imports_a_verb(verb):
    others = {f"stages.{other}" for other in VERBS - {verb}}
    assert others.isdisjoint(imports(ROOT / "stages" / f"{verb}.py"))


def test_files_stay_small_enough_to_read():
    long = {
        str(path.relative_to(ROOT)): lines
        for folder in ("pipeline", "stages", "store")
        for path in modules(folder)
        if (lines := len(path.read_text(encoding="utf-8").splitlines())) > 320
    }
    assert long == {}
