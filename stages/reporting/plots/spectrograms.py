"""Spectrograms that training a front end leaves in its folder."""

from pathlib import Path

from reseed.stages.common.figures import Plot
from reseed.stages.common.theme import THEMES, spectrogram_file
from reseed.store import ModelError
from reseed.store.sealed import check_listed, read_record


def spectrograms(folder: Path, run: str = "") -> Plot:
    """Return the spectrograms of a front end.

    Args:
        run: which run it is of, where there are several.

    Raises:
        ModelError: they are missing.
    """
    record = folder / "frontend.json"
    try:
        digests = read_record(record).get("files", {}) if record.exists() else {}
        for theme in THEMES:
            check_listed(folder, spectrogram_file(theme.name), digests)
        svgs = {theme.name: (folder / spectrogram_file(theme.name)).read_text("utf-8") for theme in THEMES}
    except (OSError, ValueError, AttributeError, TypeError) as error:
        raise ModelError(f"{folder} has no sound spectrograms ({error}); train the front end again") from error
    return Plot(
        f"spectrograms-{f'{run}-' if run else ''}{folder.name}",
        f"What {folder.name} does to a spectrum{f' · {run}' if run else ''}",
        "Two training crops in the bands that the backbone sees, 50\u202fdB from dark to light. Weights, where "
        "there are any, lie over the positions of the activation map: light is where attention is misplaced.",
        svgs,
    )
