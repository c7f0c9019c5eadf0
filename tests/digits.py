"""Vectors that are none of speech: the pixels of scikit-learn's digits, as they are, blurred, grainy, partly hidden."""

from pathlib import Path

import numpy as np
import yaml
from numpy.typing import NDArray
from sklearn.datasets import load_digits

SIDE = 8
SETTINGS = {
    "name": "digits",
    "corpus": {
        "stores": {"train": "train.npy", "test": "test.npy"},
        "vectors": {"id": "image", "speaker": "digit", "view": "condition"},
    },
    "train": {"mse": {"epochs": 2}},
    "report": {"bootstrap_replicates": 20},
}


def views_of(pixels_ND: NDArray[np.float32]) -> dict[str, NDArray[np.float32]]:
    """Return each view of some pictures, [N, D]."""
    pictures = pixels_ND.reshape(-1, SIDE, SIDE)
    padded = np.pad(pictures, ((0, 0), (1, 1), (1, 1)), mode="edge")
    blurred = sum(padded[:, row : row + SIDE, column : column + SIDE] for row in range(3) for column in range(3)) / 9
    hidden = pictures.copy()
    hidden[:, :3] = 0
    grainy = pictures + np.random.default_rng(0).normal(0, 5, pictures.shape)
    views = {"clean": pictures, "blurred": blurred, "grainy": grainy, "occluded": hidden}
    return {name: view.reshape(pixels_ND.shape).astype(np.float32) for name, view in views.items()}


def write_digits(folder: Path, each: int = 120) -> Path:
    """Write arrays and tables of two splits and the configuration of a run over them; return its path."""
    pixels_ND, label_N = load_digits(return_X_y=True)
    order = np.random.default_rng(0).permutation(len(pixels_ND))
    for number, split in enumerate(("train", "test")):
        part = order[number * each : (number + 1) * each]
        views = views_of(pixels_ND[part].astype(np.float32))
        np.save(folder / f"{split}.npy", np.concatenate([*views.values()]))
        rows = [f"picture-{index},{label_N[index]},{view}" for view in views for index in part]
        (folder / f"{split}.csv").write_text("\n".join(["image,digit,condition", *rows]) + "\n")
    (folder / "digits.yaml").write_text(yaml.safe_dump(SETTINGS, sort_keys=False))
    return folder / "digits.yaml"
