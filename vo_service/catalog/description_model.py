"""The YAML table description, key by key: what may stand where, in the shape of Rubin's Felis.

One class per kind of mapping. Keys with a prefix (`ivoa:unit`, `tap:principal`) are Felis's; `resource`, `position`,
`epoch`, `examples`, `input`, `reject`, and a column's `source` and `derive` are ours. Checks within one mapping are
made here, those across a table in `description_checks`.
"""

from __future__ import annotations

import codecs
import re
from typing import Annotated, Any, Literal

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    NonNegativeFloat,
    NonNegativeInt,
    PositiveFloat,
    PositiveInt,
    model_validator,
)

from vo_service.catalog.description_input import AngleUnit, BadRows, Frame
from vo_service.catalog.description_texts import (
    check_date,
    check_doi,
    check_email,
    check_name,
    check_orcid,
    check_time_moc,
    check_url,
    check_words,
)
from vo_service.catalog.vocabulary.ucd import check_ucd
from vo_service.catalog.vocabulary.unit import check_unit, conversion_factor

MESSENGERS = (
    "Photon Radio Millimeter Infrared Optical UV EUV X-ray Gamma-ray Neutrino".split()
)  # IVOA vocabulary "messenger" (2023)


def _matching(pattern: str, example: str) -> AfterValidator:
    def check(text: str) -> str:
        if not re.fullmatch(pattern, text):
            raise ValueError(f"{text!r} is not as expected, for example {example}")
        return text

    return AfterValidator(check)


def _as_list(value: object) -> object:
    return value if isinstance(value, list) else [value]


def _as_nulls(value: object) -> object:
    return ["" if text is None else text for text in value] if isinstance(value, list) else [value]


def _as_named(value: object) -> object:
    return {"name": value} if isinstance(value, str) else value


def _encoding(text: str) -> str:
    try:
        return codecs.lookup(text).name
    except LookupError:
        raise ValueError(f"{text!r} is no character encoding") from None


def _messenger(text: str) -> str:
    known = {term.lower(): term for term in MESSENGERS}
    if text.lower() not in known:
        raise ValueError(f"{text!r} is no messenger; expected one of {', '.join(MESSENGERS)}")
    return known[text.lower()]


Name = Annotated[str, AfterValidator(check_name)]
Names = Annotated[list[Name], BeforeValidator(_as_list)]
Texts = Annotated[list[str], BeforeValidator(_as_list)]
Words = Annotated[str, AfterValidator(check_words)]
Nulls = Annotated[list[str], BeforeValidator(_as_nulls)]
Url = Annotated[str, AfterValidator(check_url)]
Unit = Annotated[str, AfterValidator(check_unit)]
Ucd = Annotated[str, AfterValidator(check_ucd)]
Character = Annotated[str, _matching(r"[\x09\x20-\x7e]", "a comma")]
ArraySize = Annotated[str, _matching(r"(\d+x)*(\d+\*?|\*)", "16, 16* or *")]

STRINGS = ("char", "string", "text", "unicode", "unicodeChar")
"""Datatypes of text."""


class Part(BaseModel):
    """A mapping of the description. A key without a value is as good as none."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    @model_validator(mode="before")
    @classmethod
    def _without_empty(cls, data: Any) -> Any:  # noqa: ANN401 (what pydantic hands over)
        return {key: value for key, value in data.items() if value is not None} if isinstance(data, dict) else data


class PersonPart(Part):
    name: Words
    orcid: Annotated[str, AfterValidator(check_orcid)] | None = None
    affiliation: Words | None = None
    email: Annotated[str, AfterValidator(check_email)] | None = None


Person = Annotated[PersonPart, BeforeValidator(_as_named)]


class ObsCorePart(Part):
    """What ObsCore says of the event lists (`catalog.model.Observation`): columns of ivoa.obscore and obscore_hea."""

    obs_collection: Words | None = None
    target_name: Words | None = None
    facility_name: Words | None = None
    instrument_name: Words | None = None
    calib_level: Annotated[int, Field(ge=0, le=4)] | None = None
    s_resolution: PositiveFloat | None = None
    t_exptime: PositiveFloat | None = None
    t_resolution: PositiveFloat | None = None
    em_res_power: PositiveFloat | None = None
    s_ref_energy: PositiveFloat | None = None
    em_ref_energy: PositiveFloat | None = None
    s_ref_oaa: NonNegativeFloat | None = None
    em_ref_oaa: NonNegativeFloat | None = None
    t_intervals: Annotated[str, AfterValidator(check_time_moc)] | None = None
    obs_mode: Words | None = None
    tracking_mode: Words | None = None
    scan_mode: Words | None = None
    pointing_mode: Words | None = None
    analysis_mode: Words | None = None
    event_type: Words | None = None
    messenger_name: Words | None = None
    messenger_pdgid: Annotated[str, _matching(r"[+-][0-9]+", "'+14' (with quotes)")] | None = None


class ResourcePart(Part):
    """Who made the data, under which terms, and how to cite them (`catalog.model.Resource`)."""

    title: Words | None = None
    description: str | None = None
    creators: Annotated[list[Person], BeforeValidator(_as_list)] = []
    publisher: Words | None = None
    contact: Person | None = None
    subjects: Annotated[list[Words], BeforeValidator(_as_list)] = []
    license: Words | None = None
    license_url: Url | None = None
    doi: Annotated[str, AfterValidator(check_doi)] | None = None
    reference_url: Url | None = None
    citation: Words | None = None
    date: Annotated[str, AfterValidator(check_date)] | None = None
    version: Words | None = None
    waveband: Annotated[list[Annotated[str, AfterValidator(_messenger)]], BeforeValidator(_as_list)] = []
    simulated: bool = False
    obscore: ObsCorePart = ObsCorePart()


class ColumnSourcePart(Part):
    """Where the values stand in the file: a name, or name with unit and texts for missing values."""

    name: str | None = None
    unit: Unit | None = None
    null: Nulls = []


class DerivePart(Part):
    """Values that are computed from all rows."""

    rank: str
    format: str | None = None

    @model_validator(mode="after")
    def _check_format(self) -> DerivePart:
        if self.format is not None and not RANK_FORMAT.fullmatch(self.format):
            raise ValueError(f"format {self.format!r}: one {{}} or {{:0Nd}} is expected in it, as in 'ANT{{:04d}}'")
        return self


RANK_FORMAT = re.compile(r"([^{}]*)\{(?::0(\d{1,2})d)?\}([^{}]*)")


class ColumnPart(Part):
    id: str | None = Field(None, alias="@id")
    name: Name
    datatype: Literal[
        "boolean", "byte", "unsignedByte", "short", "int", "long", "float", "double",
        "char", "string", "text", "unicode", "unicodeChar", "timestamp", "binary",
    ]  # fmt: skip
    """VOTable's or Felis's word."""
    length: PositiveInt | None = None
    arraysize: ArraySize | None = Field(None, alias="votable:arraysize")
    description: str | None = None
    ucd: Ucd | None = Field(None, alias="ivoa:ucd")
    unit: Unit | None = Field(None, alias="ivoa:unit")
    utype: str | None = Field(None, alias="votable:utype")
    xtype: str | None = Field(None, alias="votable:xtype")
    principal: bool = Field(False, alias="tap:principal")
    std: bool = Field(False, alias="tap:std")
    column_index: int | None = Field(None, alias="tap:column_index")
    nullable: bool = True
    indexed: bool = False
    source: Annotated[ColumnSourcePart, BeforeValidator(_as_named)] | None = None
    derive: DerivePart | None = None

    @model_validator(mode="after")
    def _check_together(self) -> ColumnPart:
        if self.derive and self.source:
            raise ValueError("a column has either a source or is derived, not both")
        if self.length and self.arraysize:
            raise ValueError("length and votable:arraysize say the same; give one")
        if self.source and self.source.unit is not None:
            if self.unit is None:
                raise ValueError("a unit is given for the file, but none (ivoa:unit) for the column")
            conversion_factor(self.source.unit, self.unit)
        return self


class PositionSourcePart(Part):
    """Sky coordinates in the file in another frame or unit than ICRS degrees."""

    frame: Frame = "icrs"
    unit: AngleUnit = "deg"
    longitude: str
    latitude: str
    null: Nulls = []


class PositionPart(Part):
    ra: Name = "ra"
    dec: Name = "dec"
    source: PositionSourcePart | None = None


class ForeignKeyPart(Part):
    """Felis's constraint of type ForeignKey; columns are named `column` and `table.column` or `schema.table.column`."""

    type: Literal["ForeignKey"] = Field(alias="@type")
    id: str | None = Field(None, alias="@id")
    name: str | None = None
    description: str | None = None
    utype: str | None = Field(None, alias="votable:utype")
    columns: Names
    referenced: Names = Field(alias="referencedColumns")

    @model_validator(mode="after")
    def _check_pairs(self) -> ForeignKeyPart:
        if len(self.columns) != len(self.referenced):
            raise ValueError("there must be as many columns as referencedColumns")
        return self


class InputPart(Part):
    """How to read the files (`catalog.description_input.FileOptions`)."""

    files: Texts = []
    format: str | None = None
    table: Texts = []
    header: Literal["yes", "no", "comment"] = "yes"
    delimiter: Character | None = None
    comment: Annotated[str, Field(min_length=1)] | None = None
    skip: NonNegativeInt = 0
    encoding: Annotated[str, AfterValidator(_encoding)] = "utf-8"
    element: NonNegativeInt | None = None


class ExamplePart(Part):
    """A query that shows what the table is good for (`catalog.model.Example`)."""

    name: Annotated[str, Field(min_length=1)]
    query: Annotated[str, Field(min_length=1)]
    description: str | None = None


class TablePart(Part):
    id: str | None = Field(None, alias="@id")
    name: Name
    description: str | None = None
    utype: str | None = Field(None, alias="votable:utype")
    table_index: int | None = Field(None, alias="tap:table_index")
    primary_key: Texts = Field([], alias="primaryKey", max_length=1)
    position: PositionPart | None = None
    epoch: str | None = None
    event_list: bool = Field(True, alias="eventList")
    columns: Annotated[list[ColumnPart], Field(min_length=1)]
    constraints: list[ForeignKeyPart] = []
    examples: list[ExamplePart] = []
    input: InputPart = InputPart()
    reject: BadRows = "refuse"


class DescriptionPart(Part):
    """The whole file: a schema and its tables."""

    id: str | None = Field(None, alias="@id")
    name: Name
    description: str | None = None
    utype: str | None = Field(None, alias="votable:utype")
    schema_index: int | None = Field(None, alias="tap:schema_index")
    resource: ResourcePart = ResourcePart()
    tables: Annotated[list[TablePart], Field(min_length=1)]


def known_keys() -> frozenset[str]:
    """Every key that may stand somewhere in a description."""
    parts: list[type[Part]] = Part.__subclasses__()
    return frozenset(field.alias or name for part in parts for name, field in part.model_fields.items())
