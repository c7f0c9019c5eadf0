"""Sentence vectors of docstrings, as they are written and damaged; no text and no network is downloaded.

    pip install wordllama                             # its wheel holds the encoder: 256 dimensions, no network layers
    python examples/vectors/make_text.py text         # writes text/train.npy, train.csv, test.npy, test.csv
    cd text && reseed run ../examples/vectors/text.yaml

An item is a docstring of the packages below, of those that are installed; its class is the module it is from
(`scipy.signal`, `numpy.ma`), its first two sentences are its crops. Half of the modules are for training, the others,
which may repeat one in the same words, for evaluation. The view `ocr` is in the evaluation alone.
"""

import ast
import csv
import random
import re
import sys
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path

import numpy as np

PACKAGES = ["networkx", "numpy", "pandas", "scipy", "sklearn", "sympy"]
CROPS, WORDS = 2, 6  # sentences of a docstring, and the fewest words of one
FEWEST, MOST = 20, 60  # docstrings of a module
MISREAD = str.maketrans("loeasgbt", "10ca59hf")


def docstrings(package: str) -> Iterator[tuple[str, tuple[str, ...]]]:
    """Yield the module of each docstring and the sentences that it begins with; files are read, not imported."""
    root = Path(find_spec(package).origin).parent
    for path in sorted(root.rglob("*.py")):
        parts = path.relative_to(root).with_suffix("").parts
        if "tests" in parts or len(parts) < 2 or parts[0].startswith("_"):
            continue
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, (ast.FunctionDef, ast.ClassDef)):
                prose = re.split(r"\n *(?:Parameters|Args|Returns|Examples?|Notes)\b", ast.get_docstring(node) or "")[0]
                found = [" ".join(one.split()) for one in re.split(r"(?<=[.!?])\s+|\n\s*\n", prose)]
                kept = tuple(
                    one for one in found if len(re.findall(r"[A-Za-z]{2,}", one)) >= WORDS and ">>>" not in one
                )
                if len(kept) >= CROPS:
                    yield f"{package}.{parts[0]}", kept[:CROPS]


def damaged(view: str, sentence: str, dice: random.Random) -> str:
    """Return what a view makes of a sentence."""
    words = sentence.split()
    if view == "typos":  # in two words of five: two letters change places, or one is lost
        for index, word in enumerate(words):
            if len(word) > 2 and dice.random() < 0.4:
                at = dice.randrange(len(word) - 1)
                words[index] = word[:at] + dice.choice([word[at + 1] + word[at], word[at]]) + word[at + 2 :]
    elif view == "dropped":
        words = [word for word in words if dice.random() < 0.6] or words[:1]
    elif view == "casing":
        words = ["".join(dice.choice([letter.upper(), letter.lower()]) for letter in word) for word in words]
    elif view == "ocr":  # a letter in four that another is taken for
        words = ["".join(one.translate(MISREAD) if dice.random() < 0.25 else one for one in word) for word in words]
    return " ".join(words)


def main(folder: Path) -> None:
    """Write vectors and tables of both sides."""
    import wordllama

    dice = random.Random(0)
    items: dict[str, dict[tuple[str, ...], None]] = {}
    for package in filter(find_spec, PACKAGES):
        for module, sentences in docstrings(package):
            items.setdefault(module, {})[sentences] = None  # the same words twice are one item
    modules = sorted(module for module in items if len(items[module]) >= FEWEST)
    dice.shuffle(modules)
    here = Path(wordllama.__file__).parent  # weights and tokenizer of the wheel
    encoder = wordllama.WordLlama.load(cache_dir=here, disable_download=True)
    folder.mkdir(parents=True, exist_ok=True)
    for split, names in {"train": modules[::2], "test": modules[1::2]}.items():
        views = ["clean", "typos", "dropped", "casing", *(["ocr"] if split == "test" else [])]
        rows, texts = [], []
        for module in names:
            for number, sentences in enumerate(dice.sample([*items[module]], min(MOST, len(items[module])))):
                for view in views:
                    rows += [(f"{module}-{number}", module, view, crop) for crop in range(CROPS)]
                    texts += [damaged(view, sentence, dice) for sentence in sentences]
        np.save(folder / f"{split}.npy", encoder.embed(texts).astype(np.float32))
        with (folder / f"{split}.csv").open("w", newline="") as file:
            csv.writer(file).writerows([("docstring", "module", "view", "crop"), *rows])
        print(f"{split}: {len(rows) // len(views) // CROPS} docstrings of {len(names)} modules in {len(views)} views")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
