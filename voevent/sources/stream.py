"""What every source has in the file of alerts, whatever it reads from."""

from __future__ import annotations

from typing import Annotated

from pydantic import AfterValidator, BaseModel, ConfigDict, Field

from vo_service.config import checked_ivoid


class StreamSettings(BaseModel):
    """One source.

    Attributes
    ----------
    name
        Under which its place in the stream is remembered: a source that is renamed begins anew.
    stream
        Ivoid under which its alerts get their identifiers, where they come without; `ivo://AUTHORITY/TOPIC` if not
        given.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    name: str = Field(pattern=r"^[\w.-]{1,100}$")
    stream: Annotated[str, AfterValidator(checked_ivoid)] | None = None

    def stream_of(self, topic: str, authority: str) -> str:
        """Ivoid of the stream that a topic's alerts belong to."""
        return self.stream or f"ivo://{authority}/{topic}"
