"""An alert as the experiment means it: neither JSON nor XML. Every conversion goes by way of this.

Its fields are also our own minimal JSON, one to one (`voevent/convert/alert.schema.json`).
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Annotated, Final, Literal, Self

from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    PlainSerializer,
    ValidationError,
    WithJsonSchema,
    model_validator,
)

from vo_service.errors import UsageError
from voevent.packet import Citation
from voevent.times import format_time, parse_time

Kind = Literal["initial", "followup", "supersedes", "retraction"]
Role = Literal["observation", "prediction", "utility", "test"]

CITES: Final = ("followup", "supersedes", "retraction")

ROLES: Final[tuple[Role, ...]] = ("observation", "prediction", "utility", "test")


class AlertError(UsageError):
    """A notice that cannot be understood, or lacks what every alert must have."""


def _moment(value: object) -> datetime:
    if isinstance(value, str):
        return parse_time(value)
    if isinstance(value, datetime):
        return value.astimezone(UTC).replace(tzinfo=None) if value.tzinfo else value
    raise ValueError("expected a time such as 2024-09-01T01:16:47Z")


Moment = Annotated[
    datetime,
    BeforeValidator(_moment),
    PlainSerializer(lambda moment: format_time(moment) + "Z", return_type=str, when_used="json"),
    WithJsonSchema({"type": "string", "format": "date-time"}),
]
"""A time, naive UTC here, with Z in JSON."""

Errors = tuple[Annotated[float, Field(ge=0)], Annotated[float, Field(ge=0)]]
"""How far the value may lie below, and above."""

Text = Annotated[str, Field(min_length=1)]

Address = Annotated[str, Field(pattern=r"^[A-Za-z][A-Za-z0-9+.-]*:[!-~]+$")]
"""A URI: a scheme, and no blanks."""


class _Part(BaseModel):
    model_config = ConfigDict(
        frozen=True, extra="forbid", str_strip_whitespace=True, allow_inf_nan=False, use_attribute_docstrings=True
    )


def _as_parameter(value: object) -> object:
    """VOEvent has no truth values, and its readers take whole numbers for 64 bits at most."""
    if isinstance(value, bool):
        return str(value).lower()
    return str(value) if isinstance(value, int) and not -(2**63) <= value < 2**63 else value


class Position(_Part):
    """Where it came from: ICRS, degrees. Radii are of circles around it."""

    ra: float = Field(ge=0, lt=360)
    """Right ascension, ICRS [deg]."""
    dec: float = Field(ge=-90, le=90)
    """Declination, ICRS [deg]."""
    radius_50: float | None = Field(default=None, ge=0)
    """Radius that contains the source with a probability of 50 % [deg]."""
    radius_90: float | None = Field(default=None, ge=0)
    """Radius for 90 % [deg]."""
    radius: float | None = Field(default=None, ge=0)
    """Radius for the probability `containment` [deg]."""
    ellipse: tuple[Annotated[float, Field(ge=0)], Annotated[float, Field(ge=0)], float] | None = None
    """Semi-major axis, semi-minor axis, position angle of the major axis from north through east [deg], for
    `containment`."""
    ra_error: Errors | None = None
    """Error of the right ascension, below and above [deg of RA], for `containment`."""
    dec_error: Errors | None = None
    """Error of the declination, below and above [deg], for `containment`."""
    containment: float | None = Field(default=None, gt=0, le=1)
    """Probability that radius, ellipse, ra_error and dec_error belong to; not known if not given."""
    systematic_included: bool | None = None
    """Whether the errors contain systematic ones."""

    @property
    def error(self) -> float | None:
        """One radius [deg], for where there is room for one: of 90 % if it is known."""
        asymmetric = [*(self.ra_error or ()), *(self.dec_error or ())]
        candidates = (
            self.radius_90,
            self.radius,
            max(self.ellipse[:2]) if self.ellipse else None,
            max(asymmetric) if asymmetric else None,
            self.radius_50,
        )
        return next((radius for radius in candidates if radius is not None), None)


class Energy(_Part):
    """Energy of the event."""

    value: float = Field(gt=0)
    unit: Literal["eV", "keV", "MeV", "GeV", "TeV", "PeV", "EeV"]
    error: Errors | None = None
    """How far it may lie below, and above, in the same unit."""


class Parameter(_Part):
    """Anything that has no field of its own."""

    name: Text
    value: Annotated[str | int | float | None, BeforeValidator(_as_parameter)] = None
    unit: Text | None = None
    """In the syntax of VOUnits."""
    ucd: Text | None = None
    description: Text | None = None
    group: str | None = None
    """Parameters that follow each other in one group belong together."""


class Alert(_Part):
    """One notice about one event."""

    event: Text
    """Name or identifier of the event. All notices about it carry the same one."""
    record: int | None = Field(default=None, ge=0)
    """Number of this notice among those about the event."""
    edition: Text | None = None
    """What tells this notice from others about the event where they are not numbered."""
    kind: Kind = "initial"
    """initial; followup (adds to an earlier notice); supersedes (replaces it); retraction."""
    role: Role = "observation"
    """What it is: a real observation, a prediction, something about the service, or a test."""
    written: Moment | None = None
    """When the notice was written, UTC."""
    time: Moment | None = None
    """When the event happened, UTC."""
    time_error: float | None = Field(default=None, ge=0)
    """Uncertainty of that time [s]."""
    position: Position | None = None
    far: float | None = Field(default=None, ge=0)
    """False alarm rate [Hz]."""
    energy: Energy | None = None
    topology: Text | None = None
    """Form of the event in the detector: track, shower, multiplet ..."""
    mission: Text | None = None
    """Experiment that observed it."""
    instrument: Text | None = None
    """Detector, or part of it."""
    concept: Text | None = None
    """What it is thought to be, as VOEvent's Concept."""
    description: Text | None = None
    skymaps: tuple[Address, ...] = ()
    """Addresses of HEALPix maps of where it came from."""
    references: tuple[Address, ...] = ()
    """Addresses with more about it."""
    record_url: Address | None = None
    """Address of the record of provenance: how the alert came to be."""
    provenance: dict[Text, str] = Field(default_factory=dict)
    """How the alert came to be, in short: software, version, calibration ..."""
    citations: tuple[Citation, ...] = ()
    """Earlier packets that this one is about; if not given, the notice before it, unless it is the initial one."""
    params: tuple[Parameter, ...] = ()
    """Anything else."""

    @model_validator(mode="after")
    def _citations_in_known_words(self) -> Self:
        for citation in self.citations:
            if citation.cite not in CITES or not citation.ivoid.startswith("ivo://"):
                raise ValueError(
                    f"citations: expected an ivo:// identifier and one of {', '.join(CITES)}, got {citation}"
                )
        return self


def parse_alert(data: object) -> Alert:
    """An alert from its fields.

    Raises AlertError that names every field that cannot be used, and why.
    """
    try:
        return Alert.model_validate(data)
    except ValidationError as error:
        raise AlertError(explain(error)) from None


def explain(error: ValidationError, whole: str = "alert") -> str:
    """One sentence for each problem; `whole` names what was read, for those that are of no part of it."""
    return "; ".join(
        f"{'.'.join(str(part) for part in problem['loc']) or whole}: {problem['msg'].removeprefix('Value error, ')}"
        for problem in error.errors(include_url=False)
    )
