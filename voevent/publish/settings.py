"""What the file of alerts says of the sinks to send to."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict


class SinkSettings(BaseModel):
    """One sink."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    name: str
