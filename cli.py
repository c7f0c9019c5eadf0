"""The command line: one command per verb; parses, calls one stage, prints. No logic lives here."""

import atexit
import json
import os
import re
import shlex
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from functools import partial
from pathlib import Path
from typing import Any, NoReturn

import click

from reseed.stages.common import terminal
from reseed.stages.common.terminal import log
from reseed.stages.common.terms import SPEECH
from reseed.store import ReseedError, StoreChangedError, Terminated
from reseed.store.errors import HungUp, Interrupted, ended_by

# Stages are imported inside the commands: torch and matplotlib take seconds, and most commands need neither.


class _File(click.Path):
    """A file or folder of this machine, which a URL would be mistaken for."""

    def convert(self, value: Any, param: click.Parameter | None, context: click.Context | None) -> Any:
        """Return a path."""
        if _IS_URL.match(str(value)):
            protocol = str(value).partition("//")[0]
            self.fail(f"{protocol}// is an address; here a file or folder of this machine is meant", param, context)
        return super().convert(value, param, context)


class _Place(click.Path):
    """A file or folder of this machine, or one of a store by its URL."""

    def convert(self, value: Any, param: click.Parameter | None, context: click.Context | None) -> Any:
        """Return a path or a URL."""
        if not _IS_URL.match(str(value)):
            return super().convert(value, param, context)
        from reseed.store.url import Url, without_secrets

        try:
            return Url(str(value))
        except ValueError as error:
            self.fail(f"{without_secrets(value)} {error}", param, context)


# What `reseed --help` shows, in this order; a test sees to it that every command stands in one group.
GROUPS = {
    "Begin, and run all of it": ("doctor", "init", "config", "run", "demo", "status", "runs"),
    "Make a corpus": ("prepare", "synthesise", "leakage", "divide", "trials"),
    "Extract": ("check-backbone", "extract", "append", "extend"),
    "Train and enhance": ("train", "sweep", "enhance", "train-backbone", "train-frontend", "denoise"),
    "Join two backbones": ("align", "map", "upgrade"),
    "Score and report": ("score", "quality", "calibrate", "threshold", "evaluate", "report", "compare"),
    "Look into a store": ("info", "sql", "browse", "neighbours", "all-pairs", "replay", "verify", "audit"),
    "Change a store": ("drop", "compact", "annotate", "expire"),
    "Exchange and publish": ("copy", "import", "export", "adopt", "export-model", "card"),
}
_IS_URL = re.compile(r"[A-Za-z][A-Za-z0-9+.-]+://")
_FILE, _PLACE = _File(path_type=Path), _Place(path_type=Path)
_OUT = "--out"
_FORMERLY_OUT = {"--found", "--neighbours", "--output", "--page", "--report", "--sweep"}
_DEBUG = "debug"
_TRIES = 10  # of reading a store that others are changing
_ENDS: dict[int, type[KeyboardInterrupt]] = {
    signal.SIGINT: Interrupted,
    signal.SIGTERM: Terminated,
    signal.SIGHUP: HungUp,
}


class Command(click.Command):
    """Starts over where a store was changed while it was read, so that it sees one state of the store.

    What an option was called before is understood until the next release.
    """

    def parse_args(self, context: click.Context, args: list[str]) -> list[str]:
        known = {option for parameter in self.params for option in parameter.opts}
        for place, word in enumerate(args):
            name, equals, value = word.partition("=")
            if name in _FORMERLY_OUT - known and _OUT in known:
                log(f"reseed: {name} is called {_OUT} now; the next release will not know {name}")
                args[place] = f"{_OUT}{equals}{value}"
        return super().parse_args(context, args)

    def invoke(self, context: click.Context) -> Any:
        for _ in range(_TRIES):
            try:
                return super().invoke(context)
            except StoreChangedError as error:
                click.echo(f"reseed: {str(error).partition(';')[0]}; starting over", err=True)
        return super().invoke(context)


class Group(click.Group):
    """Turns every error that a user can cause into one line and exit code 1; `--debug` shows the traceback.

    So does a signal, and the exit code is 128 and its number: 130 for Ctrl-C, 143 for SIGTERM, 129 for SIGHUP.
    """

    command_class = Command

    def format_commands(self, context: click.Context, formatter: click.HelpFormatter) -> None:
        """Show the commands by what they are for."""
        longest = max(map(len, self.commands))
        left = formatter.width - longest - 6
        for title, names in GROUPS.items():
            with formatter.section(title):
                formatter.write_dl(
                    [(name.ljust(longest), self.commands[name].get_short_help_str(left)) for name in names]
                )

    def parse_args(self, context: click.Context, args: list[str]) -> list[str]:
        try:
            return super().parse_args(context, args)
        except OSError as error:  # --help and --version print while they are parsed
            _end(context, *_told(error))

    def invoke(self, context: click.Context) -> Any:
        try:
            with _terminable():
                super().invoke(context)
                if sys.stdout:
                    sys.stdout.flush()  # what cannot be printed is an error, and is one here
        except KeyboardInterrupt as error:
            status, ended = ended_by(error)
            _end(context, str(error) or f"{ended}; the same command goes on where that is possible", status=status)
        except (click.exceptions.Exit, click.Abort, click.ClickException):
            raise
        except Exception as error:
            if context.params.get(_DEBUG):
                raise
            _end(context, *_told(error))


def _told(error: Exception) -> Sequence[str]:
    """Return an error in a line, or a few; in none where whoever read the output has closed it, as `head` does."""
    if isinstance(error, ReseedError):
        return error.lines
    if isinstance(error, BrokenPipeError):
        return ()
    if isinstance(error, OSError):
        return (f"{error.filename or 'the output or a temporary file'}: {error.strerror or error}",)
    return (f"unexpected {type(error).__name__}: {' '.join(str(error).split())}; `reseed --debug` shows where",)


def _end(context: click.Context, *lines: str, status: int = 1) -> NoReturn:
    """Say why a command ends, and end it, though nothing can be said: the terminal is gone, a log's disk is full."""
    with suppress(OSError):
        if lines:
            click.echo(f"reseed: {terminal.lines(lines)}", err=True)
    for stream in filter(None, (sys.stdout, sys.stderr)):
        try:
            stream.flush()
        except OSError:  # what is left in the buffer would fail once more at the very end, with a traceback
            os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())
    context.exit(status)


@contextmanager
def _terminable() -> Iterator[None]:
    """Let signals end a command as Ctrl-C does, so that what it holds is let go and nothing half-written is left.

    The first is heard, and no further one disturbs the end. One that is ignored stays so: under nohup, or SIGINT in the
    background of a script.
    """
    ended = False

    def end(number: int, _: Any) -> None:
        nonlocal ended
        ended = True
        for each in previous:
            signal.signal(each, signal.SIG_IGN)
        raise _ENDS[number]

    if threading.current_thread() is not threading.main_thread():
        yield
        return
    heard = [number for number in _ENDS if signal.getsignal(number) is not signal.SIG_IGN]
    previous = {number: signal.getsignal(number) for number in heard}
    for number in heard:
        signal.signal(number, end)
    atexit.register(_deaf)
    try:
        yield
    finally:
        for number in () if ended else heard:
            signal.signal(number, previous[number])


def _deaf() -> None:
    """Let nothing disturb the end of the interpreter: the work is done."""
    for number in _ENDS:
        signal.signal(number, signal.SIG_IGN)


@click.group(cls=Group, context_settings={"help_option_names": ["-h", "--help"]})
@click.option("--debug", is_flag=True, help="Show the traceback of an error.")
@click.option("--usage", type=_FILE, help="Write time and memory of the command to a file (.tsv).")
@click.version_option(package_name="reseed")
def main(debug: bool, usage: Path | None) -> None:
    """Noise-robust speaker embeddings, offline: extract once, then train, enhance and score from the cache."""
    from reseed.stages.common.threads import compute_with
    from reseed.stages.common.usage import write_usage

    if usage is not None:
        click.get_current_context().call_on_close(partial(write_usage, usage, time.monotonic()))
    compute_with(1)
    click.get_current_context().call_on_close(partial(terminal.speak, SPEECH))  # what a run calls things ends with it


_SOURCES = {
    "noise": "Manifest of the noises.",
    "music": "Manifest of the music.",
    "rir": "Manifest of the room responses.",
    "babble": "Manifest of the speech that babbles (default: that of --utterances).",
}


_Decorator = Callable[[Callable[..., Any]], Callable[..., Any]]


def _path_option(name: str, text: str, **options: Any) -> _Decorator:
    return click.option(f"--{name}", help=text, **{"type": _FILE, "required": True, **options})


def _store_option(name: str, text: str, **options: Any) -> _Decorator:
    """Take a store that is read: a folder of this machine, or where else one lies."""
    return _path_option(name, text, **{"type": _PLACE, **options})


def _watched(context: click.Context, _: click.Parameter, path: Any) -> Any:
    """Say once the command has ended whether it has put another result in the place of one that is at `path` now."""
    from reseed.stages.common.replaced import result_at, was_replaced

    before = result_at(path) if isinstance(path, Path) else None

    def say() -> None:
        if before and was_replaced(before):
            log(f"replaced {before.in_words()}")

    context.call_on_close(say)
    return path


def _output_option(name: str, text: str, **options: Any) -> _Decorator:
    return _path_option(name, text, callback=_watched, **options)


def _store_output_option(name: str, text: str) -> _Decorator:
    """Take a store that is written, here or elsewhere; `_landing` takes it up."""
    return _output_option(name, text, type=_PLACE)


@contextmanager
def _landing(place: Any, *read: Any) -> Iterator[tuple[Path, Callable[[str], None]]]:
    """Yield where on this machine to write a store that is to lie at `place`, and what says so once it lies there."""
    from reseed.store.copying import landing

    said: list[str] = []
    with landing(place, *read) as folder:
        yield folder, _say if folder == place else said.append
    for text in said:
        _say(text.replace(str(folder), str(place)))


def _out_option(name: str, text: str, **options: Any) -> _Decorator:
    """Return the option of what a command makes that no other command reads; `name` is what its stage calls it."""
    return click.option(_OUT, name, help=text, **{"type": _FILE, "required": True, "callback": _watched, **options})


def _set_option(
    text: str = "Override a setting, e.g. train.seed.epochs=3; `reseed config --reference` lists all.",
) -> _Decorator:
    return click.option("--set", "overrides", multiple=True, metavar="KEY=VALUE", help=text)


# Options of more than one command.
_JSON = click.option("--json", "as_json", is_flag=True, help="Print JSON.")
_DEVICE = click.option("--device", default="auto", show_default=True, help="cpu, cuda or auto.")
_DASK = click.option("--dask", metavar="ADDRESS", help="Spread the work: local, local:4 (workers) or tcp://HOST:8786.")
_FORMAT = click.option("--format", default="parquet", show_default=True, help="kaldi, npy, parquet or webdataset.")
_SYSTEM = click.option("--system", required=True, help="Which entry of the section train; without a YAML, a method.")
_PROCESSES = click.option(
    "--processes", type=click.IntRange(1), default=1, show_default=True, help="Share batches over GPUs."
)
_TENSORBOARD = _path_option("tensorboard", "Folder for TensorBoard's files.", required=False)
_RECORDINGS = _path_option(
    "recordings",
    "Folder or URL that recordings may be opened in; repeat for more (default: in the run).",
    type=_PLACE,
    required=False,
    multiple=True,
)
_VERSION = click.option(
    "--version", type=click.IntRange(1), help="An earlier state, as `reseed info --versions` numbers them."
)
_TRAINED = _path_option("trained", "Folder of `reseed train-backbone`, not the config's backbone.", required=False)


def _config_options(command: Callable[..., Any]) -> Callable[..., Any]:
    text = "YAML of the run; `reseed config` prints all that it sets."
    return click.option("--config", type=_FILE, required=True, help=text)(_set_option()(command))


_CHANCE = {
    "seed": click.option("--seed", type=click.IntRange(0), help="Seed of all chance (default: of --config, or 0)."),
    "device": click.option("--device", help="cpu, cuda or auto (default: of --config, or auto)."),
}


def _optional_config(*carried: str) -> _Decorator:
    """Let a command do without a YAML; `_settings` takes up what is said in its place, by --set and what it carries."""

    def decorate(command: Callable[..., Any]) -> Callable[..., Any]:
        for name in reversed(carried):
            command = _CHANCE[name](command)
        text = "Set what a YAML would, e.g. train.mse.epochs=3; `reseed config --reference` lists all."
        without = "YAML of a run (default: the default of every setting)."
        return _path_option("config", without, required=False)(_set_option(text)(command))

    return decorate


def _settings(
    config: Path | None,
    overrides: Sequence[str],
    system: str | None = None,
    of_audio: bool = False,
    **carried: Any,
) -> Any:
    """Return the settings of a command that can do without a YAML."""
    from reseed.pipeline.loading import defaults

    given = [*overrides, *(f"{name}={value}" for name, value in carried.items() if value is not None)]
    return _load(config, given) if config else defaults(given, system, of_audio=of_audio)


def _training_settings(system: str, **given: Any) -> Any:
    """Return the settings of a training, which computes with the threads that these say."""
    from reseed.stages.common.threads import compute_with

    run = _settings(system=system, **given)
    compute_with(run.threads)
    return run


def _source_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """Let a command take the manifests of what views draw from; `_sources` takes them up."""
    for name, text in reversed(_SOURCES.items()):
        command = _path_option(name, text, required=False)(command)
    return command


def _sources(options: dict[str, Any]) -> dict[str, Path]:
    """Take the manifests that were given for views out of a command's options."""
    taken = {kind: options.pop(kind) for kind in _SOURCES}
    return {kind: path for kind, path in taken.items() if path is not None}


def _say(text: str) -> None:
    click.echo(terminal.lines([text]))


def _show(found: Any, as_json: bool) -> None:
    click.echo(terminal.as_json(found.to_json(), indent=1) if as_json else found.summary())


def _load(config: Path, overrides: Sequence[str]) -> Any:
    from reseed.pipeline.loading import load_config, trust_vectors

    run = load_config(config, overrides)
    trust_vectors(run)
    terminal.speak(run.wording)
    return run


def _load_training(config: Path, overrides: Sequence[str]) -> Any:
    """Load the configuration of a training, which computes with the threads that this says."""
    from reseed.stages.common.threads import compute_with

    run = _load(config, overrides)
    compute_with(run.threads)
    return run


@main.command()
@_optional_config("seed")
@_output_option("root", "Corpus folder to write.")
def synthesise(config: Path | None, overrides: Sequence[str], seed: int | None, root: Path) -> None:
    """Make a synthetic corpus: generated voices, noises, music and rooms."""
    from reseed.stages.synthesise import SynthesiseSettings
    from reseed.stages.synthesise import synthesise as stage
    from reseed.store import ConfigError

    run = _settings(config, overrides, of_audio=True, seed=seed)
    if config and run.synthesise is None:
        raise ConfigError(f"{config} has no synthesise section")
    stage(root=root, settings=run.synthesise or SynthesiseSettings(), seed=run.seed)


@main.command()
@_optional_config()
@_path_option(
    "source",
    "Folder of audio, list (CSV, TSV, JSON, Parquet), archives, Kaldi directory, also by URL, or a data set.",
    type=_PLACE,
)
@click.option(
    "--kind",
    type=click.Choice(["speech", "noise", "music", "rir"]),
    default="speech",
    show_default=True,
    help="What the recordings are.",
)
@click.option("--split", help="Split to record, to keep of a list, or a data set's own (a+b joins two).")
@_output_option("utterances", "Manifest to write (.parquet).")
@_output_option("rejects", "Rejects to write (.parquet), with the reason for each.")
@_path_option("listing", "File to keep what a store or a large folder lists in (.parquet).", required=False)
@_path_option("known", "Earlier manifest of this source: what has not changed is taken from it.", required=False)
@click.option(
    "--strict",
    type=click.FloatRange(0, 1),
    is_flag=False,
    flag_value=0.0,
    metavar="[SHARE]",
    help="Fail where more than this share of what is listed is rejected; alone: where anything is.",
)
def prepare(config: Path | None, overrides: Sequence[str], **paths: Any) -> None:
    """List recordings and decode each once: what can be used, and why not the rest."""
    from reseed.stages.prepare import prepare as stage

    run = _settings(config, overrides, of_audio=True)
    click.echo(stage(settings=run.corpus.prepare, **paths))


def _sides(command: Callable[..., Any]) -> Callable[..., Any]:
    for side in ("evaluation", "training"):
        text = f"What {side} hears: utterances, babble, noise, music or rir, and its manifest; repeat for each."
        command = click.option(f"--{side}", multiple=True, required=True, metavar="ROLE=PATH", help=text)(command)
    return command


@main.command()
@_sides
@_out_option("found", "The same as JSON, to write.", required=False)
@click.option("--fail", is_flag=True, help="Exit with 1 where anything is shared.")
@click.pass_context
def leakage(
    context: click.Context, training: Sequence[str], evaluation: Sequence[str], found: Path | None, fail: bool
) -> None:
    """Say which recordings, speakers and rooms training and evaluation share, by content."""
    from reseed.stages.leakage import leakage as stage

    sides = {"training": training, "evaluation": evaluation}
    shared = stage(**{side: dict(map(_assignment, given)) for side, given in sides.items()}, found=found)
    for sentence in shared:
        click.echo(f"WARNING: training and evaluation share {sentence}", err=True)
    if not shared:
        looked_for = "vector" if "vectors" in dict(map(_assignment, training)) else "recording, speaker or room"
        click.echo(f"training and evaluation share no {looked_for}")
    context.exit(1 if shared and fail else 0)


@main.command()
@_optional_config("seed")
@_store_option("utterances", "Manifest of the speech, or a store: what its catalogue says of ids and labels.")
@_output_option("trials", "Trials to write (.parquet).")
@_output_option("enrolments", "Enrolment models to write (.parquet), where a trial enrols several.", required=False)
def trials(config: Path | None, overrides: Sequence[str], seed: int | None, **paths: Path) -> None:
    """Read a trial list (VoxCeleb, Kaldi, CSV) or generate one from speaker labels."""
    from reseed.stages.trials import make_trials

    run = _settings(config, overrides, seed=seed)
    _say(make_trials(settings=run.trials, seed=run.seed, **paths))


def _extraction_options(command: Callable[..., Any]) -> Callable[..., Any]:
    for option in (
        _TRAINED,
        _path_option("frontend", "Folder of `reseed train-frontend`, to stand before the backbone.", required=False),
        _source_options,
        _path_option("utterances", "Manifest of the speech."),
        click.option(
            "--section",
            type=click.Choice(["train", "evaluation"]),
            default="train",
            show_default=True,
            help="Which section under extract.",
        ),
        _optional_config("seed", "device"),
    ):
        command = option(command)
    return command


def _order(
    config: Path | None,
    overrides: Sequence[str],
    seed: int | None,
    device: str | None,
    section: str,
    utterances: Path,
    trained: Path | None,
    frontend: Path | None,
    **sources: Any,
) -> tuple[Any, Any]:
    from reseed.stages.extraction.order import ExtractOrder

    run = _settings(config, overrides, of_audio=True, seed=seed, device=device)
    backbone, settings = _chosen(run, trained)
    return run, ExtractOrder(
        utterances=utterances,
        sources=_sources(sources),
        backbone=backbone,
        backbone_settings=settings,
        frontend=frontend,
        settings=getattr(run.extract, section),
        seed=run.seed,
        device=run.device,
    )


def _chosen(run: Any, trained: Path | None) -> tuple[str, dict[str, Any]]:
    """Return name and settings of the configured backbone, or of a trained one."""
    from reseed.stages.backbones.folder import read_trained

    if trained is not None:
        return read_trained(trained)
    return run.backbone.name, run.backbone_settings().model_dump(mode="json", exclude_defaults=True)


def _backbone(run: Any, trained: Path | None) -> Any:
    """Load the configured backbone, or a trained one."""
    from reseed.stages.backbones.table import load_backbone

    return load_backbone(*_chosen(run, trained))


@main.command()
@_extraction_options
@_store_output_option("store", "The store; finished shards of the same recipe are kept.")
@click.option("--job", metavar="INDEX/COUNT", help="Write only this job's shards, e.g. 0/4; without: all, then seal.")
@_DASK
def extract(store: Any, job: str | None, dask: str | None, **rest: Any) -> None:
    """Run the frozen backbone over the corpus once and store clean and noisy embeddings."""
    from reseed.pipeline.executor import checked, executor
    from reseed.stages.extract import Job
    from reseed.stages.extract import extract as stage

    chosen = None if job is None else Job.parse(job)
    if job is not None and not isinstance(store, Path):
        raise click.UsageError("Jobs write into one folder that all of them see; `reseed copy` it to a URL at the end.")
    run, order = _order(**rest)
    extraction = run.extract
    with _landing(store) as (folder, say), executor(checked(dask) or extraction.dask, sees=folder) as execute:
        say(
            stage(
                order=order,
                store=folder,
                shards=extraction.shards,
                job=chosen,
                shared=extraction.stores,
                execute=execute,
            )
        )


@main.command()
@_extraction_options
@_output_option("store", "The store to append to.")
@click.option("--shards", type=click.IntRange(1), default=1, show_default=True, help="How many new shards.")
@click.option("--retry", is_flag=True, help="Extract the rejects of the store once more, instead of what is new.")
def append(store: Path, shards: int, retry: bool, **rest: Any) -> None:
    """Extract what a finished store lacks into new shards of it."""
    from reseed.stages.append import append as stage

    _, order = _order(**rest)
    _say(stage(order=order, store=store, shards=shards, retry=retry))


@main.command()
@_extraction_options
@_output_option("store", "The store to extend.")
@click.option("--view", "views", multiple=True, help="View to add; repeat for more (default: all that it lacks).")
def extend(store: Path, views: Sequence[str], **rest: Any) -> None:
    """Add views to a finished store: only these are rendered and embedded."""
    from reseed.stages.extend import extend as stage

    _, order = _order(**rest)
    _say(stage(order=order, store=store, views=views))


@main.command()
@click.argument("store", type=_PLACE)
@click.argument("utterance")
@click.option("--view", required=True, help="Which rendering, e.g. noise.")
@click.option("--crop", type=click.IntRange(0), default=0, show_default=True, help="Which crop.")
@_out_option("out", "Audio to write (.wav).", required=False)
@click.option("--from", "moved", multiple=True, metavar="ROLE=PATH", help="Where a manifest or the backbone lies now.")
@_RECORDINGS
@_DEVICE
@_JSON
def replay(as_json: bool, **options: Any) -> None:
    """Render the audio behind a stored vector, embed it again, and say how well the two agree."""
    from reseed.stages.replay import replay as stage

    replayed = stage(**{**options, "moved": dict(_assignment(text) for text in options["moved"])})
    _show(replayed, as_json)


@main.command()
@click.argument("store", type=_FILE)
@click.option("--utterance", "utterances", multiple=True, help="Utterance to remove; repeat for more.")
@click.option("--speaker", "speakers", multiple=True, help="Speaker to remove; repeat for more.")
@click.option("--view", "views", multiple=True, help="View to remove; repeat for more.")
def drop(store: Path, **named: Sequence[str]) -> None:
    """Remove the vectors and catalogue rows of utterances, speakers or views from a store."""
    from reseed.stages.drop import drop as stage

    if not any(named.values()):
        raise click.UsageError("Say what to drop: --utterance ID, --speaker ID or --view NAME.")
    _say(stage(store=store, **named))


@main.command()
@click.argument("store", type=_FILE)
@click.option("--rows", type=click.IntRange(1), default=100_000, show_default=True, help="Rows per shard, at most.")
@click.option("--dtype", type=click.Choice(["float32", "float16"]), help="Store vectors as (default: as they are).")
def compact(store: Path, rows: int, dtype: str | None) -> None:
    """Join small shards of a store; no vector changes, unless --dtype float16 rounds them."""
    from reseed.stages.compact import compact as stage

    _say(stage(store=store, rows=rows, dtype=dtype))


@main.command()
@click.argument("store", type=_FILE)
@click.argument("table", type=_FILE)
@click.option("--column", "columns", multiple=True, help="Column to add; repeat for more (default: all).")
def annotate(**given: Any) -> None:
    """Add columns of a table (Parquet, CSV) to the catalogue of a store; no vector is touched."""
    from reseed.stages.annotate import annotate as stage

    _say(stage(**given))


@main.command()
@click.argument("store", type=_FILE)
@click.option(
    "--keep",
    type=click.IntRange(1),
    default=1,
    show_default=True,
    help="How many of the latest states stay.",
)
@click.option(
    "--before", type=click.DateTime(["%Y-%m-%d", "%Y-%m-%dT%H:%M"]), help="Only states that were replaced before then."
)
def expire(**options: Any) -> None:
    """Remove earlier states of a store and the files that only they name."""
    from reseed.stages.expire import expire as stage

    _say(stage(**options))


@main.command()
@_optional_config("seed", "device")
@_SYSTEM
@_store_option("store", "Store of training embeddings.")
@_output_option("model", "Model directory to write.")
@_PROCESSES
@_TENSORBOARD
def train(
    config: Path | None,
    overrides: Sequence[str],
    seed: int | None,
    device: str | None,
    system: str,
    processes: int,
    **paths: Any,
) -> None:
    """Train an enhancer purely on cached embeddings. The same command after a kill goes on where it was."""
    from reseed.stages.common.device import resolved
    from reseed.stages.train import EnhancerOrder
    from reseed.stages.train import train as stage

    run = _training_settings(system, config=config, overrides=overrides, seed=seed, device=device)
    chosen = run.enhancer(system)
    order = EnhancerOrder(
        enhancer=chosen.method,
        settings=chosen.settings,
        seed=chosen.seed,
        device=resolved(run.device) if processes > 1 else _device(run.device),
        processes=processes,
        **paths,
    )
    _say(stage(order))


@main.command()
@_optional_config("seed", "device")
@_SYSTEM
@click.option("--vary", multiple=True, metavar="KEY=A,B", help="Values of a setting, or of seed; repeat for a grid.")
@_store_option("store", "Store of training embeddings.")
@_out_option("sweep", "Directory to write: table, plot, and the best model.")
def sweep(
    config: Path | None,
    overrides: Sequence[str],
    seed: int | None,
    device: str | None,
    system: str,
    vary: Sequence[str],
    **paths: Path,
) -> None:
    """Train an enhancer under many settings from one cache; rank them on utterances held out."""
    from reseed.stages.sweep import SweepOrder
    from reseed.stages.sweep import sweep as stage

    run = _training_settings(system, config=config, overrides=overrides, seed=seed, device=device)
    chosen = run.enhancer(system)
    order = SweepOrder(
        enhancer=chosen.method,
        settings=chosen.settings,
        vary=dict(_values(text) for text in vary),
        seed=chosen.seed,
        device=_device(run.device),
        **paths,
    )
    click.echo(stage(order))


@main.command()
@_config_options
@click.option("--name", required=True, help="Which entry of the section backbones.")
@_path_option("utterances", "Manifest of the labelled speech.")
@_source_options
@_store_option("anchors", "Store of clean vectors of the backbone that is started from.", required=False)
@_path_option("base", "Folder of a trained backbone to start from.", required=False)
@_output_option("model", "Folder to write: weights, train.jsonl, card.")
@_PROCESSES
@_TENSORBOARD
def train_backbone(
    config: Path,
    overrides: Sequence[str],
    name: str,
    **options: Any,
) -> None:
    """Train a speaker network on labelled speech, or fine-tune one near stored anchors. Goes on after a kill."""
    from reseed.stages.common.device import resolved
    from reseed.stages.train_backbone import BackboneOrder
    from reseed.stages.train_backbone import train_backbone as stage

    run = _load_training(config, overrides)
    sources = _sources(options)
    device = resolved(run.device) if options["processes"] > 1 else _device(run.device)
    settings = run.backbone_training(name)
    stage(BackboneOrder(settings=settings, seed=run.seed, sources=sources, device=device, **options))


@main.command()
@_config_options
@click.option("--name", required=True, help="Which entry of the section frontends.")
@_path_option("utterances", "Manifest of the speech.")
@_source_options
@_store_option("store", "Store of the speech by the backbone, with a view clean.")
@_TRAINED
@_output_option("model", "Folder to write: weights, train.jsonl, card.")
@_TENSORBOARD
def train_frontend(
    config: Path,
    overrides: Sequence[str],
    name: str,
    trained: Path | None,
    **paths: Any,
) -> None:
    """Train a mask on the spectrum before a frozen backbone (Grad-W and its rivals). Goes on after a kill."""
    from reseed.stages.train_frontend import FrontendOrder
    from reseed.stages.train_frontend import train_frontend as stage

    run = _load_training(config, overrides)
    sources = _sources(paths)
    backbone, backbone_settings = _chosen(run, trained)
    order = FrontendOrder(
        backbone=backbone,
        backbone_settings=backbone_settings,
        settings=run.frontend_training(name),
        seed=run.seed,
        sources=sources,
        device=_device(run.device),
        **paths,
    )
    _say(stage(order))


@main.command()
@click.argument("source", type=_FILE)
@click.argument("output", type=_FILE, callback=_watched)
@_optional_config("device")
@_path_option("frontend", "Folder of `reseed train-frontend`.")
@_TRAINED
def denoise(
    config: Path | None, overrides: Sequence[str], device: str | None, trained: Path | None, **paths: Path
) -> None:
    """Write what a front end leaves of SOURCE, a recording, a folder of them or archives, to listen to."""
    from reseed.stages.denoise import denoise as stage

    run = _settings(config, overrides, of_audio=True, device=device)
    _say(stage(backbone=_backbone(run, trained), device=_device(run.device), **paths))


@main.command()
@_config_options
@click.option("--name", required=True, help="Which entry of the section align.")
@_store_option("enrolment", "Store of the enrolment side.")
@_store_option("test", "Store of the test side: the same speech by another backbone.")
@_output_option("model", "Folder to write.")
def align(config: Path, overrides: Sequence[str], name: str, **paths: Path) -> None:
    """Learn maps of two backbones' embeddings into one space, from the crops that both stores hold."""
    from reseed.stages.align import align as stage

    run = _load_training(config, overrides)
    chosen = run.aligner(name)
    _say(stage(method=chosen.method, settings=chosen.settings, seed=chosen.seed, **paths))


@main.command(name="map")
@_store_option("store", "Store to map.")
@_path_option("model", "Folder of the alignment.")
@click.option("--side", type=click.Choice(["enrolment", "test"]), required=True, help="Which side the store is.")
@_store_output_option("mapped", "Store to write.")
def map_(mapped: Any, **options: Any) -> None:
    """Map a store of one side into the space that an alignment shares."""
    from reseed.stages.map import map_store

    with _landing(mapped, options["store"]) as (folder, say):
        say(map_store(mapped=folder, **options))


@main.command()
@click.argument("store", type=_PLACE)
@_store_option("from", "Store by the old backbone of speech that the new one has heard too; may be STORE itself.")
@_store_option("to", "Store of the same speech by the new backbone: same crops and views.")
@_output_option("model", "Folder of the alignment to write.")
@_store_output_option("upgraded", "Store to write: STORE in the space that both share.")
@click.option("--method", default="auto", show_default=True, help="Which alignment is learnt.")
@click.option("--seed", type=click.IntRange(0), default=0, show_default=True, help="Seed of the alignment.")
@_set_option("A setting of the method, e.g. shrinkages=[0.1]; `reseed config --reference` lists all.")
def upgrade(method: str, overrides: Sequence[str], upgraded: Any, **options: Any) -> None:
    """Bring enrolments of an old backbone, whose audio is gone, to where a new one's vectors score against them."""
    from reseed.pipeline.settings import section
    from reseed.stages.aligners.table import aligner_class
    from reseed.stages.upgrade import upgrade as stage

    old, new = options.pop("from"), options.pop("to")
    settings = section(aligner_class(method).Config, overrides)
    with _landing(upgraded, options["store"], old, new) as (folder, say):
        for line in stage(old=old, new=new, method=method, settings=settings, upgraded=folder, **options):
            say(line)


@main.command()
@click.argument("name")
@_set_option("Of the backbone, e.g. weights=FILE; `reseed config --reference` lists them.")
def check_backbone(name: str, overrides: Sequence[str]) -> None:
    """Compare what backbone NAME makes of a generated waveform with what its published weights are known to give."""
    from reseed.pipeline.settings import section
    from reseed.stages.backbones.settings import config_class
    from reseed.stages.check_backbone import check_backbone as stage

    settings = section(config_class(name), overrides)
    for line in stage(backbone=name, settings=settings.model_dump(exclude_defaults=True)):
        _say(line)


@main.command()
@click.argument("checkpoint", type=_FILE)
@_store_option("store", "Store of the backbone that the network was trained with.")
@_output_option("model", "Model directory to write.")
@_set_option("How it samples, e.g. noise_draws=0; `reseed config --reference` lists the settings of seed.")
def adopt(checkpoint: Path, overrides: Sequence[str], **paths: Path) -> None:
    """Make a model of a released checkpoint of SEED's network."""
    from reseed.pipeline.settings import section
    from reseed.stages.adopt import RELEASED
    from reseed.stages.adopt import adopt as stage
    from reseed.stages.enhancers.seed import SeedConfig

    given = [f"{name}={value}" for name, value in RELEASED.model_dump(exclude_defaults=True).items()]
    _say(stage(checkpoint=checkpoint, settings=section(SeedConfig, [*given, *overrides]), **paths))


@main.command()
@click.argument("model", type=_FILE)
@_out_option("output", "File to write.")
@click.option("--format", "format", default="onnx", show_default=True, help="onnx or torchscript.")
def export_model(**options: Any) -> None:
    """Write a model as ONNX or TorchScript: embeddings in, enhanced embeddings out."""
    from reseed.stages.export_model import export_model as stage

    _say(stage(**options))


@main.command()
@_path_option("config", "YAML of the run, whose seed and device are taken.", required=False)
@_set_option()
@click.option("--seed", type=click.IntRange(0), help="Seed of the sampling noise (default: that of --config, or 0).")
@click.option("--device", help="cpu, cuda or auto (default: that of --config, or auto).")
@_store_option("store", "Store to enhance.")
@_path_option("model", "Model directory.")
@_store_output_option("enhanced", "Store to write.")
def enhance(
    config: Path | None, overrides: Sequence[str], seed: int | None, device: str | None, enhanced: Any, **paths: Any
) -> None:
    """Enhance a store of embeddings with a trained model: a store of the same catalogue."""
    from reseed.stages.enhance import enhance as stage

    if config is None and overrides:
        raise click.UsageError("--set changes a setting of --config; give that too, or --seed and --device alone")
    run = None if config is None else _load(config, overrides)
    if seed is None:
        seed = run.seed if run else 0
    with _landing(enhanced, paths["store"]) as (folder, say):
        say(stage(seed=seed, device=_device(device or (run.device if run else "auto")), enhanced=folder, **paths))


@main.command()
@_optional_config("device")
@click.option("--system", required=True, help="Name of the system in the scores.")
@_store_option("store", "Store of evaluation embeddings, raw or enhanced.")
@_path_option("trials", "Trials (.parquet).")
@_path_option("utterances", "Manifest of the speech (default: what the store's catalogue says).", required=False)
@_path_option("enrolments", "What the enrolment models of the trials are made of.", required=False)
@_store_option("cohort", "Store of other speakers, for as_norm, s_norm, tas_norm, PLDA.", required=False)
@_path_option("cohort-utterances", "Manifest of those of its utterances to use.", required=False)
@_store_option(
    "enrolment",
    "Store that enrolment comes from, if not --store (see `reseed map`); repeat for more: of what several hold, the "
    "first one's vectors count.",
    multiple=True,
    required=False,
)
@_store_option("enrolment-cohort", "The cohort as the enrolment side has it.", required=False)
@_store_option("domain", "Store to adapt PLDA to, in place of what is scored.", required=False)
@_path_option("domain-utterances", "Manifest of those of its utterances to use.", required=False)
@_output_option("scores", "Scores to write (.parquet).")
@_output_option("identification", "Ranks of the true speakers to write (.parquet).", required=False)
@click.option("--allow-missing", is_flag=True, help="Leave out trials whose utterances are not stored.")
@_DASK
def score(
    config: Path | None,
    overrides: Sequence[str],
    device: str | None,
    system: str,
    allow_missing: bool,
    dask: str | None,
    **paths: Any,
) -> None:
    """Score every trial in every condition, by cosine and whatever else score.scorings names."""
    from reseed.pipeline.executor import checked, executor
    from reseed.stages.score import score as stage
    from reseed.stages.trial_scoring.order import ScoreOrder

    given = [*overrides, *(["score.allow_missing=true"] if allow_missing else [])]
    run = _settings(config, given, device=device)
    paths["utterances"] = paths["utterances"] or paths["store"]
    order = ScoreOrder(system=system, settings=run.score, device=_device(run.device), **paths)
    with executor(checked(dask)) as execute:
        _say(stage(order, execute=execute if dask else None))


@main.command()
@_config_options
@_path_option("utterances", "Manifest to divide.")
@_output_option("held-out", "Manifest to write: the speakers held out.")
@_output_option("rest", "Manifest to write: everybody else.")
def divide(config: Path, overrides: Sequence[str], **paths: Path) -> None:
    """Hold out speakers for calibration: calibrate.share of those with several utterances."""
    from reseed.stages.divide import divide as stage
    from reseed.store import ConfigError

    run = _load(config, overrides)
    if run.calibrate is None:
        raise ConfigError(f"{config} has no calibrate section")
    _say(stage(share=run.calibrate.share, seed=run.seed, **paths))


@main.command()
@_store_option("store", "Store whose vectors are measured.")
@_store_option("reference", "Store of the same space with noisy views, to learn SNR from.")
@_path_option("utterances", "Manifest of the speech.")
@_output_option("quality", "Measures to write (.parquet).")
def quality(**paths: Path) -> None:
    """Measure each stored utterance for calibration: duration, norm, SNR estimated from its vectors."""
    from reseed.stages.quality import quality as stage

    _say(stage(**paths))


@main.command()
@_config_options
@click.option("--system", help="Name of the result (default: the systems, joined by +).")
@_path_option("held-out", "Scores of other speakers' trials, to fit on; repeat for each system.", multiple=True)
@_path_option("scores", "Scores to calibrate, in the order of --held-out; several are fused.", multiple=True)
@_path_option("held-out-quality", "Quality measures of the held-out utterances.", required=False)
@_path_option("quality", "Quality measures of the utterances.", required=False)
@_path_option("held-out-enrolments", "What the held-out enrolment models are made of.", required=False)
@_path_option("enrolments", "What the enrolment models are made of.", required=False)
@_output_option("calibrated", "Calibrated scores to write (.parquet).")
def calibrate(config: Path, overrides: Sequence[str], **options: Any) -> None:
    """Turn scores into log-likelihood ratios by held-out trials; fuse several systems."""
    from reseed.stages.calibrate import calibrate as stage
    from reseed.stages.trial_scoring.settings import CalibrationSettings

    _say(stage(settings=_load(config, overrides).calibrate or CalibrationSettings(), **options))


@main.command()
@click.argument("store", type=_PLACE)
@click.argument("utterance")
@click.option("--view", default="clean", show_default=True, help="Which rendering.")
@click.option("--k", type=click.IntRange(1), default=10, show_default=True, help="How many.")
@click.option("--index", is_flag=True, help="Make an index where there is none (extra search): for large stores.")
@_JSON
def neighbours(as_json: bool, **options: Any) -> None:
    """Name the utterances of a store that are nearest to one of them."""
    from reseed.stages.neighbours import neighbours as stage

    _show(stage(**options), as_json)


@main.command(name="all-pairs")
@click.argument("store", type=_PLACE)
@click.option("--view", default="clean", show_default=True, help="Which rendering.")
@click.option("--top", type=click.IntRange(1), default=10, show_default=True, help="Neighbours kept of each utterance.")
@click.option("--nearest", type=click.IntRange(1), metavar="K", help="Only the K nearest, by an index: no EER.")
@_out_option("neighbours", "Neighbours to write (.parquet).")
@_DEVICE
@_JSON
def all_pairs(as_json: bool, device: str, top: int, nearest: int | None, **options: Any) -> None:
    """Score every pair of utterances: nearest neighbours, histograms and EER, in bounded memory."""
    from reseed.stages.all_pairs import all_pairs as stage
    from reseed.stages.all_pairs import nearest_of_all
    from reseed.stages.common.threads import compute_with, given_cores

    compute_with(given_cores())  # inner products of whole vectors: the same bits in any number of threads
    if nearest is not None:
        _show(nearest_of_all(nearest=nearest, **options), as_json)
    else:
        _show(stage(device=_device(device), top=top, **options), as_json)


@main.command()
@click.argument("scores", type=_FILE)
@click.option("--false-accept", type=float, required=True, help="Highest rate of accepted non-targets, e.g. 0.01.")
@click.option("--condition", help="Only this view (default: each, and all pooled).")
@click.option("--system", help="Which system, where the file holds several.")
@click.option("--scoring", help="Which scoring, where the file holds several.")
@_JSON
def threshold(as_json: bool, **options: Any) -> None:
    """Find the operating point for a false-accept rate, with its interval."""
    from reseed.stages.threshold import threshold as stage

    found = stage(**options)
    _show(found, as_json)


@main.command()
@click.argument("scores", nargs=-1, type=_FILE, required=True, metavar="SCORES... [LABELS]")
@_path_option("labels", "Trial list (VoxCeleb, Kaldi, NIST, CSV); it may also stand among SCORES.", required=False)
@_out_option("report", "Folder to write index.html and metrics.json to.", required=False)
@_path_option("speakers", "Lines of UTTERANCE SPEAKER (default: told by ids and labels).", required=False)
@_path_option("utterances", "Table by utterance_id, e.g. a manifest: speaker_id, session_id, groups.", required=False)
@_path_option("store", "What was scored: how to hear the trials that got worse is said by it.", required=False)
@click.option("--group", "groups", multiple=True, help="Column of --utterances to group trials by; repeat for more.")
@click.option(
    "--cost",
    "costs",
    multiple=True,
    default=("vox", "vox-0.01"),
    show_default=True,
    help="Detection cost by name (vox, cn, sre16, ...) or prior (0.02, 0.01+0.005); repeat for more.",
)
@click.option("--llr", is_flag=True, help="Scores are natural-log likelihood ratios: also Cllr and actual DCF.")
@click.option("--equalise", is_flag=True, help="Let every condition weigh alike where they are pooled (NIST).")
@click.option("--allow-missing", is_flag=True, help="Leave out trials that have no score.")
@click.option("--replicates", type=click.IntRange(0), default=1000, show_default=True, help="Of the bootstrap.")
@click.option("--title", default="", help="Heading of the page.")
@_JSON
def evaluate(as_json: bool, **options: Any) -> None:
    """Measure anybody's score files: EER, DCF, Cllr with intervals, differences, and a page; no run is needed."""
    from reseed.stages.evaluate import evaluate as stage

    _show(stage(**options), as_json)


@main.command()
@_optional_config()
@_path_option("scores", "Scores of a system; repeat for each.", multiple=True)
@_path_option("identification", "Ranks of a system, in the order of --scores.", multiple=True, required=False)
@_store_option("store", "Embeddings of a system, in the order of --scores.", multiple=True)
@_path_option("frontend", "Front end whose spectrograms are shown; repeat for each.", multiple=True, required=False)
@_path_option("utterances", "Manifest of the speech (default: what the first store's catalogue says).", required=False)
@_path_option("leakage", "What `reseed leakage` found.", required=False)
@_out_option("report", "Folder to write index.html and metrics.json to.")
def report(
    config: Path | None,
    overrides: Sequence[str],
    scores: Sequence[Path],
    identification: Sequence[Path],
    store: Sequence[Path],
    frontend: Sequence[Path],
    **paths: Any,
) -> None:
    """Compute the metrics and make the report page."""
    from reseed.pipeline.loading import dump
    from reseed.pipeline.plan import Plan
    from reseed.stages.report import report as stage

    run = _settings(config, overrides)
    paths["utterances"] = paths["utterances"] or store[0]
    message = stage(
        scores=list(scores),
        identification=list(identification),
        stores=list(store),
        title=run.title or run.name,
        note=run.note,
        settings=run.report,
        terms=run.terms,
        config=dump(run) if config else "",
        backbone_pairs=Plan(run).backbone_pairs,
        frontends=list(frontend),
        **paths,
    )
    _say(message)


@main.command()
@click.argument("runs", nargs=-1, type=_FILE, required=True)
@_out_option("report", "Folder to write index.html and metrics.json to.")
@click.option("--title", default="Runs compared", show_default=True, help="Heading of the page.")
@_set_option("A setting of the section report, e.g. seed=1.")
def compare(runs: Sequence[Path], overrides: Sequence[str], **options: Any) -> None:
    """Put the scores of several finished runs on one page."""
    from reseed.pipeline.run import files_of
    from reseed.pipeline.settings import section
    from reseed.stages.compare import compare as stage
    from reseed.stages.reporting.results.settings import ReportSettings

    settings = section(ReportSettings, overrides)
    _say(stage(runs=[files_of(run) for run in runs], settings=settings, **options))


@main.command()
@click.argument("store", type=_PLACE)
@_VERSION
@click.option("--versions", "history", is_flag=True, help="List the states of the store: when, by what, how large.")
@_JSON
def info(store: Any, version: int | None, history: bool, as_json: bool) -> None:
    """Say what a store holds and what it was made from."""
    from reseed.stages.info import History
    from reseed.stages.info import info as stage

    _show(History.of(store) if history else stage(store=store, version=version), as_json)


@main.command()
@click.argument("store", type=_PLACE)
@click.option("--utterances", type=_FILE, help="Manifest that the store should cover.")
@_VERSION
def verify(**options: Any) -> None:
    """Check every file of a store: digests, row counts, finite values, and coverage of a manifest."""
    from reseed.stages.verify import verify as stage

    _say(stage(**options))


@main.command()
@click.argument("store", type=_PLACE)
@click.option("--against", type=_PLACE, help="Another store: of evaluation, another version, or what it was made from.")
@click.option("--relation", help="What that is: leakage, versions or parent (default: told from ids and lineage).")
@_out_option("page", "HTML page to write.", required=False)
@click.option(
    "--replay",
    type=click.IntRange(0),
    default=32,
    show_default=True,
    help="Of how many shards to make a row again, where the recordings are there.",
)
@click.option("--shards", type=click.IntRange(1), help="Look at so many shards alone, spread over the store.")
@_RECORDINGS
@click.option("--fail-on", multiple=True, metavar="RULE", help="Exit with 1 where this rule fails, or any.")
@_DASK
@_JSON
@click.pass_context
def audit(context: click.Context, /, as_json: bool, dask: str | None, fail_on: Sequence[str], **options: Any) -> None:
    """Say whether a store can be trusted: faults, duplicates, leakage, drift, each with its worst offenders."""
    from reseed.pipeline.executor import checked, executor
    from reseed.stages.audit import audit as stage

    with executor(checked(dask)) as execute:
        audited = stage(fail_on=tuple(fail_on), execute=execute, **options)
    _show(audited, as_json)
    context.exit(1 if audited.failed_on else 0)


@main.command(context_settings={"ignore_unknown_options": True})  # a query may begin with a comment: -- ...
@click.argument("store", type=_PLACE)
@click.argument("query", default="select table_name, column_name, data_type from information_schema.columns")
@_JSON
def sql(store: Path, query: str, as_json: bool) -> None:
    """Ask SQL of a store: tables catalogue, rejects and scores; without QUERY: their columns. Nothing is changed."""
    from reseed.stages.sql import sql as stage

    answer = stage(store=store, query=query)
    sys.stdout.writelines(f"{line}\n" for line in (answer.json() if as_json else answer.table()))
    sys.stdout.flush()


@main.command()
@click.argument("run", type=_FILE)
@click.option("--port", type=click.IntRange(0, 65535), default=8000, show_default=True, help="Port; 0: any free one.")
@click.option("--host", default="127.0.0.1", show_default=True, help="Address to listen on.")
@_RECORDINGS
def browse(run: Path, **options: Any) -> None:
    """Look through a run in a browser: hear an utterance in every view, its neighbours, its scores. Read-only."""
    from reseed.stages.browse import browse as stage

    stage(run=run, **options, ready=lambda address: click.echo(f"{address}  (Ctrl+C ends it)"))


@main.command(name="export")
@click.argument("store", type=_PLACE)
@_out_option("output", "File (parquet) or directory (kaldi, npy, webdataset) to write.")
@_FORMAT
@click.option("--view", help="Only this view.")
@_VERSION
def export_(**options: Any) -> None:
    """Write a store in a format that other programs read."""
    from reseed.stages.export import export as stage

    _say(stage(**options))


@main.command()
@click.argument("source", type=_PLACE)
@_out_option("output", "File to write, README.md for the Hub (default: print it).", required=False)
@click.option("--license", metavar="NAME", help="Licence as the Hub calls it, e.g. cc-by-4.0 (default: none is named).")
@_path_option("report", "Of a model: report, or metrics.json, with its error rates.", required=False)
@click.option("--system", help="What the report calls the model (default: the name of its folder).")
def card(output: Path | None, **options: Any) -> None:
    """Make the card of a store or model for Hugging Face's Hub."""
    from reseed.stages.card import card as stage

    text = stage(output=output, **options)
    click.echo(terminal.lines(text.splitlines() if output is None else [f"wrote {output}"]))


@main.command()
@click.argument("source", type=_PLACE)
@click.argument("target", type=_PLACE, callback=_watched)
@_VERSION
def copy(**options: Any) -> None:
    """Copy a store SOURCE to TARGET, folders of this machine or URLs; goes on where it was interrupted."""
    from reseed.stages.copy import copy as stage

    _say(stage(**options))


@main.command(name="import")
@click.argument("source", type=_FILE)
@_path_option("config", "YAML of a run, whose corpus.vectors is taken; --set then changes this YAML.", required=False)
@_store_output_option("store", "Store to write.")
@_output_option("utterances", "Ids and labels of what is stored, to write (.parquet).", required=False)
@click.option("--format", help="kaldi, npy, parquet or webdataset (default: told from the names of files).")
@_set_option("A setting, e.g. space=arcface:r100 or id=image_id; `reseed config --reference` lists all.")
def import_(config: Path | None, overrides: Sequence[str], store: Any, **options: Any) -> None:
    """Make a store of embeddings that were exported, or computed elsewhere: faces, emotions, text."""
    from reseed.pipeline.settings import section
    from reseed.stages.import_ import ImportSettings, import_store

    run = None if config is None else _load(config, overrides)
    settings = run.corpus.vectors if run else section(ImportSettings, overrides)
    with _landing(store) as (folder, say):
        say(import_store(store=folder, settings=settings, unnamed_space=run.name if run else None, **options))


def _run_options(command: Callable[..., Any]) -> Callable[..., Any]:
    for option in (
        click.argument("snakemake", nargs=-1, type=click.UNPROCESSED),
        click.option("--dry-run", is_flag=True, help="Show what would be done."),
        click.option("--verbose", is_flag=True, help="Show Snakemake's messages instead of how far the run is."),
        click.option("--until", multiple=True, metavar="RULE", help="Stop once the steps of a rule are done."),
        click.option("--check", is_flag=True, help="With --profile slurm: say what would be asked of the cluster."),
        click.option("--profile", default="local", show_default=True, help="local, slurm, kubernetes or a path."),
        click.option("--cores", type=click.IntRange(1), help="Cores to use (default: all); on a cluster: of a job."),
        click.option("--runs", type=_FILE, default=Path("runs"), show_default=True, help="Where runs are kept."),
        _path_option("stores", "Where runs share stores, extracted once for all of them.", required=False),
        _set_option("Override a setting, e.g. corpus.root=DIR; `reseed config` prints all that is set."),
    ):
        command = option(command)
    return command


@main.command()
@click.argument("folder", type=_FILE, default=Path())
def init(folder: Path) -> None:
    """Write a commented configuration to begin with, mine.yaml, into FOLDER (default: here)."""
    from reseed.pipeline.starter import write_starter

    path = write_starter(folder)
    _say(f"wrote {path}; set corpus.root in it to your recordings, then: reseed run {shlex.quote(str(path))}")


@main.command()
@_JSON
def doctor(as_json: bool) -> None:
    """Say what this machine has for a run: versions, devices, decoders, weights, extras, disk, Slurm."""
    from reseed.stages.doctor import doctor as stage
    from reseed.store import ConfigError

    found = stage()
    _show(found, as_json)
    if found.broken:
        raise ConfigError(*found.broken)


@main.command(name="config")
@click.argument("config", type=_FILE, required=False)
@_set_option()
@_JSON
@click.option("--reference", is_flag=True, help="Print docs/settings.md: every setting that there is.")
def config_(config: Path | None, overrides: Sequence[str], as_json: bool, reference: bool) -> None:
    """Print all settings of a run, the defaults included, as YAML; or all that is wrong with them."""
    from reseed.pipeline.loading import as_yaml, resolved

    if reference:
        from reseed.pipeline.reference import reference as settings_page

        click.echo(settings_page(), nl=False)
        return
    if config is None:
        raise click.UsageError("Give the YAML of a run, or --reference.")
    settings = resolved(_load(config, overrides))
    click.echo(terminal.as_json(settings, indent=1) if as_json else as_yaml(settings).rstrip())


@main.command(context_settings={"ignore_unknown_options": True})
@click.argument("config", type=_FILE)
@_run_options
def run(config: Path, **options: Any) -> None:
    """Bring a whole run up to date: every stage, from recordings to report. Extra arguments go to Snakemake."""
    _run(config, **options)


@main.command(context_settings={"ignore_unknown_options": True})
@_run_options
def demo(**options: Any) -> None:
    """Run the embedded example on synthetic voices: configs/demo.yaml."""
    from reseed.pipeline.layout import project_file

    _run(project_file("configs") / "demo.yaml", **options)


@main.command()
@click.option("--runs", type=_FILE, default=Path("runs"), show_default=True, help="Where runs are kept.")
@_path_option("stores", "List the stores that runs share there, and which runs use them.", required=False)
@_JSON
def runs(runs: Path, stores: Path | None, as_json: bool) -> None:
    """List the runs of a folder: when, state, main figures, and the settings that differ between them."""
    from reseed.pipeline.runs import find_runs

    _show(find_runs(runs, stores), as_json)


@main.command()
@click.argument("run", type=_FILE)
@_JSON
def status(run: Path, as_json: bool) -> None:
    """Say how far a run is: shards done, rate, time to go, and what its steps failed of."""
    from reseed.pipeline.status import status as of

    _show(of(run), as_json)


def _run(
    config: Path,
    overrides: Sequence[str],
    runs: Path,
    cores: int | None,
    profile: str,
    dry_run: bool,
    check: bool,
    until: Sequence[str],
    snakemake: Sequence[str],
    stores: Path | None,
    verbose: bool,
) -> None:
    from reseed.pipeline import run

    shared = [] if stores is None else [f"extract.stores={json.dumps(str(stores))}"]
    loaded = _load(config, [*overrides, *shared])
    folder = runs / loaded.name
    if check:
        for line in run.check(loaded, folder=folder, cores=cores, profile=profile, extra=snakemake):
            click.echo(line)
        return
    chosen: dict[str, Any] = {"cores": cores, "profile": profile, "until": until, "extra": snakemake}
    outcome = run.run(loaded, folder=folder, dry_run=dry_run, verbose=verbose, **chosen)
    for sentence in [] if dry_run else run.shared_by(folder):
        click.echo(f"WARNING: training and evaluation share {sentence}", err=True)
    click.echo(terminal.lines(outcome), nl=bool(outcome))


def _assignment(text: str) -> tuple[str, Path]:
    name, _, path = text.partition("=")
    if not path:
        raise click.UsageError(f"{text!r} is not ROLE=PATH, e.g. noise=corpus/noise/utterances.parquet")
    return name, Path(path)


def _values(text: str) -> tuple[str, list[Any]]:
    from reseed.pipeline.reading import parse_value

    name, _, listed = text.partition("=")
    if not name or not listed:
        raise click.UsageError(f"{text!r} is not KEY=A,B, e.g. lr=0.0001,0.001")
    try:
        return name, parse_value(f"[{listed}]")
    except ValueError as error:
        raise click.UsageError(f"{text!r} is not KEY=A,B, e.g. lr=0.0001,0.001 ({error})") from None


def _device(setting: str) -> str:
    from reseed.stages.common.device import claimed

    return claimed(setting)


if __name__ == "__main__":
    sys.exit(main())
