"""The base of all settings."""

from pydantic import BaseModel, ConfigDict


class Frozen(BaseModel):
    """The base of all settings."""

    model_config = ConfigDict(frozen=True, extra="forbid", hide_input_in_errors=True, allow_inf_nan=False)
