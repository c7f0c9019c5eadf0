"""A sweep: EER and loss of every setting, the best at the top, and how each came to its EER."""

from collections.abc import Sequence
from dataclasses import dataclass

from reseed.stages.common.figures import PERCENT, figure, to_svg
from reseed.stages.common.theme import LIGHT, Theme

_ROW_HEIGHT_IN = 0.2
_LEAST_HEIGHT_IN = 3.0


@dataclass(frozen=True)
class Outcome:
    """What came of one setting: its EER, its loss, and its EER after every epoch; fractions."""

    label: str
    eer: float
    loss: float | None
    eers: Sequence[float]


def plot_sweep(outcomes: Sequence[Outcome], theme: Theme = LIGHT) -> str:
    """Draw the settings in the order given, the first one in colour; SVG."""
    colours = [theme.systems[1], *[theme.systems[0]] * (len(outcomes) - 1)]
    with figure(theme, max(_LEAST_HEIGHT_IN, 1.0 + _ROW_HEIGHT_IN * len(outcomes))) as fig:
        fig.set_facecolor(theme.card)
        by_eer, by_loss, by_epoch = fig.subplots(1, 3, width_ratios=(3, 2, 3))
        for row, (outcome, colour) in enumerate(zip(outcomes, colours, strict=True)):
            by_eer.plot(100 * outcome.eer, row, "o", color=colour, markersize=5.5)
            if outcome.loss is not None:
                by_loss.plot(outcome.loss, row, "o", color=colour, markersize=5.5)
            epochs = range(1, len(outcome.eers) + 1)
            by_epoch.plot(epochs, [100 * eer for eer in outcome.eers], color=colour, zorder=-row, linewidth=1.2)
        for axes in (by_eer, by_loss):
            axes.set_ylim(len(outcomes) - 0.5, -0.5)
            axes.grid(False, axis="y")
        by_eer.set_yticks(range(len(outcomes)), [outcome.label for outcome in outcomes])
        by_loss.set_yticks([])
        by_eer.xaxis.set_major_formatter(PERCENT)
        by_epoch.yaxis.set_major_formatter(PERCENT)
        by_eer.set_xlabel("EER between views of held-out utterances")
        by_loss.set_xlabel("loss")
        by_epoch.set_xlabel("epoch")
        by_epoch.set_ylabel("EER")
        return to_svg(fig)
