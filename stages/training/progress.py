"""What is shown while a network trains: a bar or some lines, and TensorBoard's charts where they are wanted."""

import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from rich.console import Console
from rich.progress import Progress

from reseed.stages.common.terminal import log
from reseed.stages.training.folder import Epoch

Show = Callable[[Epoch], None]
_LINES = 10


@contextmanager
def progress(epochs: int, tensorboard: Path | None = None) -> Iterator[Show]:
    """Yield a function that shows a row of the history: on a bar in a terminal, else as a few lines.

    Args:
        tensorboard: a folder to write the rows to as well, for TensorBoard.
    """
    with ExitStack() as stack:
        shown = [stack.enter_context(_bar(epochs) if sys.stderr.isatty() else _lines(epochs))]
        if tensorboard is not None:
            shown.append(stack.enter_context(_charts(tensorboard)))

        def show(row: Epoch) -> None:
            for each in shown:
                each(row)

        yield show


@contextmanager
def _lines(epochs: int) -> Iterator[Show]:
    every = max(1, epochs // _LINES)
    yield lambda row: log(_line(row, epochs)) if row["epoch"] % every == 0 or row["epoch"] == epochs else None


@contextmanager
def _bar(epochs: int) -> Iterator[Show]:
    with Progress(console=Console(stderr=True)) as bar:
        task = bar.add_task("", total=epochs)
        yield lambda row: bar.update(task, completed=row["epoch"], description=_line(row, epochs))


@contextmanager
def _charts(folder: Path) -> Iterator[Show]:
    try:
        from torch.utils.tensorboard import SummaryWriter
    except ImportError:
        log(f"nothing is written to {folder}: the package tensorboard is not installed (pip install tensorboard)")
        yield lambda row: None
        return
    with SummaryWriter(str(folder)) as writer:

        def chart(row: Epoch) -> None:
            for name in row.keys() - {"epoch", "step"}:
                writer.add_scalar(name, row[name], int(row["step"]))

        yield chart


def _line(row: Epoch, epochs: int) -> str:
    eer = f", EER {100 * row['validation_eer']:.2f} % on held-out utterances" if "validation_eer" in row else ""
    speed = next(f"{row[name]:,} {name.removesuffix('_per_s')}/s" for name in row if name.endswith("_per_s"))
    return f"epoch {row['epoch']}/{epochs}: loss {row['loss']:.4f}{eer}, {speed}"
