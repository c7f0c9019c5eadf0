"""The folder of a trained backbone: what it is called and where its weights lie."""

import json
from pathlib import Path
from typing import Any

from reseed.stages.training.folder import TrainedFolder
from reseed.store import ModelError

WEIGHTS = "weights.safetensors"
INFO = "backbone.json"
FOLDER = TrainedFolder("a backbone", INFO, WEIGHTS)


def read_trained(folder: Path) -> tuple[str, dict[str, Any]]:
    """Return the backbone's name and the settings by which it is loaded.

    Raises:
        ModelError: not a folder that `reseed train-backbone` wrote.
    """
    try:
        name = str(json.loads((folder / INFO).read_text(encoding="utf-8"))["backbone"])
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise ModelError(f"{folder} is no trained backbone ({error}); make it with `reseed train-backbone`") from error
    return name, {"weights": str((folder / WEIGHTS).resolve())}
