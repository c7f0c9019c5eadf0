"""The directions of dependency, as a test: every import of every module is an edge, and edges run downward only.

Parses every module, runs none. A room is a package, or a module that lies at the top of the repository.
"""

import ast
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest

from reseed.cli import main

ROOT = Path(__file__).resolve().parents[1]
FOLDERS = ("pipeline", "stages", "store", "testing")

# A room may import the rooms on the lines below its own, and nothing else of this project.
FLOORS = (
    ("cli", "testing"),
    ("pipeline",),
    ("stages",),  # the verbs: files directly in it
    ("stages.auditing.browsing",),
    ("stages.auditing", "stages.evaluation"),
    ("stages.reporting",),
    ("stages.reporting.plots",),
    ("stages.reporting.results",),
    ("stages.reporting.metrics",),
    ("stages.extraction",),
    ("stages.trial_scoring",),
    ("stages.trial_scoring.scorers",),
    ("stages.trial_scoring.inputs",),
    ("stages.aligners", "stages.enhancers", "stages.frontends"),
    ("stages.backbones.training",),
    ("stages.backbones",),
    ("stages.training",),
    ("stages.training.cache",),
    ("stages.synthesis", "stages.audio.datasets"),
    ("stages.audio.lists", "stages.audio.vad"),
    ("stages.audio",),
    ("stages.audio.archives",),
    ("stages.audio.containers",),
    ("stages.interop",),
    ("stages.search",),
    ("stages.scoring",),
    ("stages.common",),
    ("store",),
)
OF_A_RUN = {"config", "demo", "init", "run", "runs", "status"}  # commands that arrange stages, and are none


def modules(folder: str) -> list[Path]:
    return sorted((ROOT / folder).rglob("*.py"))


def sources() -> list[Path]:
    return [ROOT / "cli.py", *(path for folder in FOLDERS for path in modules(folder))]


@cache
def imports(path: Path) -> tuple[str, ...]:
    """The dotted names that a module imports, also inside its functions."""
    found: list[str] = []
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            found += [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: relative import"
            found += [f"{node.module}.{alias.name}" for alias in node.names]
    return tuple(found)


def module_of(name: str) -> Path | None:
    """The file that a dotted name of this package lies in."""
    parts = name.split(".")
    for length in range(len(parts), 0, -1) if parts[0] == "reseed" else ():
        path = ROOT.joinpath(*parts[1:length])
        for file in (path.with_suffix(".py"), path / "__init__.py"):
            if file.is_file():
                return file
    return None


def room(path: Path) -> str:
    parts = path.relative_to(ROOT).with_suffix("").parts
    return parts[0] if len(parts) == 1 else ".".join(parts[:-1])


def floor(path: Path) -> int:
    return next(number for number, rooms in enumerate(FLOORS) if room(path) in rooms)


def edges() -> Iterator[tuple[Path, Path]]:
    for path in sources():
        targets = {module_of(name) for name in imports(path)} - {None, path}
        yield from ((path, target) for target in sorted(targets))


def forbidden(folder: str, *prefixes: str) -> list[str]:
    return [
        f"{path.relative_to(ROOT)} imports {name}"
        for path in modules(folder)
        for name in imports(path)
        if any(name == prefix or name.startswith(prefix + ".") for prefix in prefixes)
    ]


def test_every_room_has_a_floor_and_every_floor_its_rooms():
    assert {room(path) for path in sources()} == {name for rooms in FLOORS for name in rooms}


def test_imports_run_downward_only():
    upward = [
        f"{path.relative_to(ROOT)} imports {target.relative_to(ROOT)}"
        for path, target in edges()
        if room(path) != room(target) and floor(path) >= floor(target)
    ]
    assert upward == []


def test_no_module_imports_itself_by_way_of_others():
    targets: dict[Path, set[Path]] = {}
    for path, target in edges():
        if target.name != "__init__.py":  # the table of a room imports its files, which may read the table
            targets.setdefault(path, set()).add(target)
    done: set[Path] = set()

    def visit(path: Path, way: tuple[Path, ...]) -> None:
        assert path not in way, " -> ".join(str(each.relative_to(ROOT)) for each in (*way, path))
        if path not in done:
            for target in targets.get(path, ()):
                visit(target, (*way, path))
            done.add(path)

    for path in [*targets]:
        visit(path, ())


def test_store_needs_only_numpy_h5py_and_pyarrow():
    assert forbidden("store", "torch", "torchaudio", "dask", "pydantic", "scipy", "rich", "sklearn") == []


def test_scoring_needs_only_arrays_on_any_device():
    assert forbidden("stages/scoring", "pyarrow", "h5py", "soundfile", "reseed.store.reader") == []


def test_enhancers_touch_no_audio():
    assert forbidden("stages/enhancers", "reseed.stages.audio", "reseed.stages.backbones", "soundfile") == []


def test_dask_is_imported_in_the_executor_alone():
    found = [line for folder in FOLDERS for line in forbidden(folder, "dask", "distributed")]
    assert [line for line in found if not line.startswith("pipeline/executor.py")] == []


def test_snakemake_is_imported_nowhere():
    assert [line for folder in FOLDERS for line in forbidden(folder, "snakemake")] == []


def test_a_file_directly_in_stages_is_a_command_and_every_command_has_such_a_file():
    files = {path.stem for path in (ROOT / "stages").glob("*.py")} - {"__init__"}
    assert {name.removesuffix("_").replace("_", "-") for name in files} == set(main.commands) - OF_A_RUN


@pytest.mark.parametrize("path", sorted((ROOT / "stages").glob("*.py")), ids=lambda path: path.stem)
def test_a_verb_never_imports_a_verb(path):
    verbs = [name for name in imports(path) if (target := module_of(name)) and room(target) == "stages"]
    assert [name for name in verbs if module_of(name).name != "__init__.py"] == []


def test_functions_and_files_stay_small_enough_to_read():
    lengths = {
        f"{path.relative_to(ROOT)}: {node.name}": node.end_lineno - node.lineno + 1
        for path in sources()
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
    }
    assert {name: lines for name, lines in lengths.items() if lines > 60} == {}
    assert len([name for name, lines in lengths.items() if lines > 40]) <= 10
    long = {
        str(path): len(path.read_text(encoding="utf-8").splitlines()) for path in sources() if path.name != "cli.py"
    }
    assert {name: lines for name, lines in long.items() if lines > 320} == {}
