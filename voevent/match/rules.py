"""Rules: what is matched with what, within which time and angle, and what is worth keeping. In the file of alerts:

rules:
  - name: gw-neutrino
    alerts: {streams: ["ivo://gwnet/*"]}
    against: {table: antares.events, time: mjd, time_format: mjd, error: beta, error_containment: 0.5}
    rate_per_year: 800
    window: {before: 500, after: 500}
    sky: {kind: region, level: 0.9}
    keep: {p_value: 0.01}
    publish: true
"""

from __future__ import annotations

import re
from fnmatch import fnmatchcase
from typing import Annotated, Final, Literal, Self

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, model_validator

from voevent.match.statistics import YEAR

Role = Literal["observation", "prediction", "utility", "test"]

_NAME: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,62}")


def _name(text: str) -> str:
    if not _NAME.fullmatch(text):
        raise ValueError(f"expected letters, digits and ._- , got {text!r}")
    return text


class _Part(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Alerts(_Part):
    """Alerts of some streams.

    Where a packet has an error radius, it is taken to hold the source with `error_containment`.
    """

    streams: tuple[str, ...] = Field(min_length=1)
    """Ivoids of streams; `*` stands for any characters."""
    error_containment: float = Field(default=0.9, gt=0, lt=1)

    def includes(self, stream: str, *, named: bool = False) -> bool:
        """Whether a stream's ivoid is among these; letter case does not count (Identifiers 2.0, section 2.3).

        With `named`, patterns do not count: only a stream that is written out.
        """
        patterns = [pattern.lower() for pattern in self.streams]
        return stream.lower() in patterns or (not named and any(fnmatchcase(stream.lower(), p) for p in patterns))


class TableEvents(_Part):
    """The events of a published table that has positions."""

    table: str = Field(pattern=r"^[^.]+\.[^.]+$")
    """`schema.table`, as published."""
    time: str | None = None
    """Column of the event's time (UTC); that of the table's epoch if not given."""
    time_format: Literal["timestamp", "mjd", "jd", "unix"] = "timestamp"
    """What the column holds: a timestamp, days of MJD or JD, or seconds since 1970."""
    error: str | float | None = None
    """Error of positions: a column [deg] or one number [deg]."""
    error_containment: float = Field(default=0.9, gt=0, lt=1)
    """Probability that the source is within the error."""
    cuts: dict[str, tuple[float | None, float | None]] = Field(default_factory=dict)
    """Columns with the smallest and the largest value to take part; null for no limit."""


class Window(_Part):
    """Seconds before and after an alert, both counted positive."""

    before: float = Field(ge=0)
    after: float = Field(ge=0)

    @property
    def length(self) -> float:
        return self.before + self.after

    @model_validator(mode="after")
    def _not_empty(self) -> Self:
        if self.length == 0:
            raise ValueError("expected `before` or `after` above 0")
        return self


class Separation(_Part):
    """Positions at most `radius` [deg] apart; that of an alert with a map is its peak."""

    kind: Literal["separation"]
    radius: float = Field(gt=0, le=180)


class ErrorCircles(_Part):
    """Positions at most `factor` times the root of both error radii's squared sum apart, and at most `within` [deg].

    Error radii are those of 90 % containment.
    """

    kind: Literal["error_circles"]
    factor: float = Field(default=1.0, gt=0)
    within: float = Field(default=30.0, gt=0, le=180)


class Region(_Part):
    """The position of the one lies in the region of a credible level of the other.

    The region of an alert without a map is that of its error circle.
    """

    kind: Literal["region"]
    level: float = Field(default=0.9, gt=0, lt=1)


class Overlap(_Part):
    """The overlap integral of both maps, or of a map and an error circle, is at least `minimum`.

    Events are looked for in the region of `level`, and up to `reach` [deg] outside of it.
    """

    kind: Literal["overlap"]
    minimum: float = Field(default=1.0, gt=0)
    level: float = Field(default=0.999, gt=0, lt=1)
    reach: float = Field(default=3.0, ge=0, le=30)


Sky = Annotated[Separation | ErrorCircles | Region | Overlap, Field(discriminator="kind")]


class Keep(_Part):
    """Coincidences that pass are kept; one whose value is not known does not pass a limit on it."""

    p_value: float | None = Field(default=None, gt=0, le=1)
    far: float | None = Field(default=None, gt=0)
    """Hz."""


class Rule(_Part):
    """What is matched with what. The alert is the first of a coincidence, what it is matched against the second."""

    name: Annotated[str, AfterValidator(_name)]
    alerts: Alerts
    against: Alerts | TableEvents
    roles: tuple[Role, ...] = ("observation",)
    """Of alerts that take part; two alerts must have the same."""
    window: Window
    """When the second may come, around the first."""
    sky: Sky
    rate_per_year: float = Field(gt=0)
    """Events of the second kind over the whole sky, per year, as expected by chance."""
    trials: int = Field(default=1, ge=1)
    """Number of independent searches that this is one of."""
    keep: Keep = Keep()
    publish: bool = False
    """Whether coincidences are published as VOEvents."""

    @property
    def rate(self) -> float:
        """Events of the second kind [Hz]."""
        return self.rate_per_year / YEAR
