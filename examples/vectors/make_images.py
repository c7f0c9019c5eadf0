"""Pixel vectors of scikit-learn's handwritten digits, as they are and damaged; nothing is downloaded.

    pip install pillow scikit-learn
    python examples/vectors/make_images.py images     # writes images/train.npy, train.csv, test.npy, test.csv
    cd images && reseed run ../examples/vectors/images.yaml

An item is a picture of 8 x 8 pixels, its class the digit. Both sides have all ten digits, but other pictures of them.
The view `rotated` is in the evaluation alone. A second argument says how many pictures a side has (half of all).
"""

import csv
import io
import sys
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageFilter
from sklearn.datasets import load_digits

SIDE = 8


def damaged(view: str, picture: Image.Image, dice: np.random.Generator) -> Image.Image:
    """Return what a view makes of a picture."""
    if view == "blur":
        return picture.filter(ImageFilter.GaussianBlur(1))
    if view == "noise":
        grain = dice.normal(0, 80, (SIDE, SIDE))
        return Image.fromarray(np.clip(np.asarray(picture) + grain, 0, 255).astype(np.uint8))
    if view == "jpeg":
        file = io.BytesIO()
        picture.save(file, "JPEG", quality=5)
        return Image.open(file)
    if view == "occlusion":  # a black square of a quarter of the picture
        row, column = dice.integers(0, SIDE // 2 + 1, 2)
        hidden = np.array(picture)
        hidden[row : row + SIDE // 2, column : column + SIDE // 2] = 0
        return Image.fromarray(hidden)
    if view == "rotated":
        return picture.rotate(dice.choice([-20, 20]), Image.Resampling.BILINEAR)
    return picture


def pixels(picture: Image.Image) -> NDArray[np.float32]:
    """Return a picture as a vector, [64], from 0 to 1."""
    return np.asarray(picture, dtype=np.float32).ravel() / 255


def main(folder: Path, each: int | None = None) -> None:
    """Write vectors and tables of both sides."""
    scaled_ND, digit_N = load_digits(return_X_y=True)
    pictures = [Image.fromarray((one * 255 / 16).astype(np.uint8).reshape(SIDE, SIDE)) for one in scaled_ND]
    dice = np.random.default_rng(0)
    order = dice.permutation(len(pictures))
    each = each or len(order) // 2
    folder.mkdir(parents=True, exist_ok=True)
    for split, part in {"train": order[:each], "test": order[each : 2 * each]}.items():
        views = ["clean", "blur", "noise", "jpeg", "occlusion", *(["rotated"] if split == "test" else [])]
        vectors = [pixels(damaged(view, pictures[index], dice)) for view in views for index in part]
        np.save(folder / f"{split}.npy", np.stack(vectors))
        with (folder / f"{split}.csv").open("w", newline="") as file:
            rows = [(f"picture-{index}", digit_N[index], view) for view in views for index in part]
            csv.writer(file).writerows([("picture", "digit", "view"), *rows])
        print(f"{split}: {len(part)} pictures of {len(set(digit_N[part]))} digits in {len(views)} views")


if __name__ == "__main__":
    main(Path(sys.argv[1]), *map(int, sys.argv[2:]))
