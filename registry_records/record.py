"""A registry record before it is written in a format: what it is of, its description, and how it is reached."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import datetime

from vo_service.catalog.model import Resource
from vo_service.vosi.capabilities import Capability
from vo_service.vosi.documents import Element


@dataclass(frozen=True, slots=True)
class Dates:
    """When a record was made and when it last changed, in UTC, to the second."""

    created: datetime
    updated: datetime


@dataclass(frozen=True, slots=True)
class Relation:
    """That a resource has to do with another: a term of the IVOA vocabulary, and the other's title and identifier."""

    kind: str
    title: str
    ivoid: str


def _nothing(_: Element) -> None:
    """Appends nothing."""


@dataclass(frozen=True, slots=True)
class Record:
    """A record.

    Attributes
    ----------
    ivoid
        IVOA identifier of the resource.
    kind
        Type of the resource in VOResource and its extensions: "vs:CatalogService".
    title, description
        Of this resource; `about` may be of a collection that it belongs to.
    about
        Creators, publisher, terms of use and so on; publisher, contact and subjects are there.
    page
        Address of a page about it.
    content_type
        A term of the IVOA vocabulary of content types: Catalog, Registry, ...
    capabilities
        Of services.
    tail
        Appends the elements that the type of the resource has behind all others.
    """

    ivoid: str
    kind: str
    title: str
    description: str
    about: Resource
    page: str
    dates: Dates
    content_type: str = "Other"
    short_name: str | None = None
    relations: Sequence[Relation] = ()
    has_rights: bool = False
    capabilities: Sequence[Capability] = ()
    tail: Callable[[Element], None] = field(default=_nothing)
