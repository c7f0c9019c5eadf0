"""The base of every configuration section: frozen, and an unknown key is an error."""

from pydantic import BaseModel, ConfigDict


class Section(BaseModel):
    """A section of the configuration tree, owned by the component beside which it is declared."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)
