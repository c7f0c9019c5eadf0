"""What `reseed run` shows while it works: bars in a terminal, elsewhere a line for each step that has ended."""

import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from reseed.pipeline.events import Reader
from reseed.pipeline.progress import Progress, Step, duration, last_line
from reseed.stages.common.terminal import log, printable, said

_BAR = 24  # characters


class View:
    """Follows the events of a run and says nothing: whoever looks sees Snakemake's own messages.

    Args:
        progress: is brought up to date.
        events: the file that Snakemake's plugin writes.
    """

    def __init__(self, progress: Progress, events: Path) -> None:
        self.progress = progress
        self.warnings: list[str] = []
        self._reader = Reader(events)

    def update(self) -> None:
        """Take up what has happened since the last call, and show it."""
        for event in self._reader.new():
            ended = self.progress.take(event)
            if ended is not None:
                found = [each for each in self.progress.warnings(ended) if each not in self.warnings]
                self.warnings += found
                self.show(ended, found)

    def show(self, ended: Step, warnings: list[str]) -> None:
        """Show a step that has ended, and what it warned of."""

    def failures(self) -> Iterator[str]:
        """Yield what can be said of each step that has failed: which, what it said last, how to repeat it alone."""
        for step in self.progress.failed:
            yield f"failed after {duration(step.seconds)}: {step.message}"
            if step.log is not None:
                path = self.progress.folder / step.log
                yield f"  its log, {path}, ends: {last_line(path) or 'without a word'}"
            if (command := self.progress.alone(step)) is not None:
                yield f"  to repeat it alone: (cd {self.progress.folder} && {command})"


class Lines(View):
    """For logs, and whatever else is no terminal."""

    def show(self, ended: Step, warnings: list[str]) -> None:
        """Print a line, and one for each warning."""
        for warning in warnings:
            log(f"WARNING: {warning}")
        if not ended.has_failed:
            log(f"{len(self.progress.done)}/{self.progress.total}  {ended.message} ({duration(ended.seconds)})")


class Bars(View):
    """For a terminal: a bar for each stage, what each step at work says, and what was warned of."""

    def __init__(self, progress: Progress, events: Path, live: Live) -> None:
        super().__init__(progress, events)
        self._live, self._begun_s = live, time.monotonic()

    def update(self) -> None:
        """Take up what has happened, and draw it anew."""
        super().update()
        self._live.update(self.frame(), refresh=True)

    def show(self, ended: Step, warnings: list[str]) -> None:
        """Print warnings above the bars, where they stay."""
        for warning in warnings:
            self._live.console.print(_text(f"WARNING: {warning}", "yellow"))

    def frame(self) -> RenderableType:
        """Return what is to be seen now."""
        progress, took = self.progress, duration(time.monotonic() - self._begun_s)
        if not progress.planned:
            return _text(f"{progress.folder}: working out what is to be done, {took}", "dim")
        head = _text(f"{progress.folder}: {len(progress.done)} of {progress.total} steps, {took}", "bold")
        bars = Table.grid(padding=(0, 2))
        for stage, done, total in progress.stages():
            bars.add_row(_text(f"  {stage}"), ProgressBar(total, done, width=_BAR), _text(f"{done}/{total}"))
        at_work = Table.grid(padding=(0, 2))
        at_work.add_column(no_wrap=True)
        at_work.add_column(no_wrap=True, justify="right")
        at_work.add_column()  # the one that gives way
        for step in progress.running:
            at_work.add_row(
                _text(f"  {step.message}"), _text(duration(step.seconds)), _text(progress.says(step), "dim")
            )
        return Group(head, bars, at_work)


@contextmanager
def view(progress: Progress, events: Path, *, is_quiet: bool) -> Iterator[View]:
    """Yield what shows a run on the standard error stream: nothing, bars on a terminal, or lines elsewhere."""
    console = Console(stderr=True)
    if is_quiet:
        yield View(progress, events)
    elif not sys.stderr.isatty() or console.is_dumb_terminal:
        yield Lines(progress, events)
    else:
        with Live(console=console, transient=True, auto_refresh=False) as live:
            yield Bars(progress, events, live)


def _text(text: str, style: str = "") -> Text:
    return Text(printable(said(text)), style, no_wrap=True, overflow="ellipsis")
