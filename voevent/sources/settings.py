"""What the file of alerts says of the streams to read."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict


class SourceSettings(BaseModel):
    """One stream."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    name: str
