"""Speaker backbones by name. To add one: a file with its Config and class, and one line here."""

from stages.backbones.base import Backbone
from stages.backbones.ge2e import GE2E
from store import ConfigError

BACKBONES: dict[str, type[Backbone]] = {"ge2e": GE2E}


def backbone_class(name: str) -> type[Backbone]:
    """Return the class behind `name`; an unknown name raises ConfigError with the choices."""
    try:
        return BACKBONES[name]
    except KeyError:
        raise ConfigError(f"no backbone {name!r}; choose one of {', '.join(BACKBONES)}") from None


__all__ = ["BACKBONES", "Backbone", "backbone_class"]
