"""A table's description for the registration of its DOI: DataCite Metadata Schema 4.5, as JSON and as XML."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final

from lxml import etree

from registry_records.record import Record
from registry_records.terms import full_date, licence_uri, spdx_identifier
from registry_records.voresource import clean
from vo_service.catalog.model import Person
from vo_service.vosi.documents import NAMESPACES, Element, legal

KERNEL: Final = "http://datacite.org/schema/kernel-4"
_SCHEMA: Final = "http://schema.datacite.org/meta/kernel-4.5/metadata.xsd"
_DECLARED: Final[dict[str, str]] = {None: KERNEL, "xsi": NAMESPACES["xsi"]}  # type: ignore[dict-item]

_TO_COME: Final = "(:tba)"
"""What DataCite has for a value that is to be assigned later (appendix 3)."""


def datacite_json(record: Record, landing_page: str) -> dict[str, Any]:
    """The description as DataCite's JSON, which its registration interface takes."""
    about = record.about
    document = {
        "schemaVersion": KERNEL,
        "doi": about.doi,
        "url": landing_page,
        "creators": [_creator(person) for person in _creators(record)],
        "titles": [{"title": clean(about.title)}],
        "publisher": {"name": about.publisher},
        "publicationYear": _year(record),
        "types": {"resourceTypeGeneral": "Dataset", "resourceType": record.content_type},
        "subjects": [{"subject": subject} for subject in dict.fromkeys(about.subjects) if subject.strip()],
        "dates": _dates(record),
        "language": "en",
        "alternateIdentifiers": [{"alternateIdentifier": record.ivoid, "alternateIdentifierType": "IVOA identifier"}],
        "version": about.version,
        "rightsList": _rights(record),
        "descriptions": [{"description": record.description, "descriptionType": "Abstract"}],
    }
    return {name: value for name, value in document.items() if value}


def _creators(record: Record) -> Sequence[Person]:
    named = tuple(person for person in record.about.creators if clean(person.name))
    return named or (Person(record.about.publisher or record.about.title),)


def _creator(person: Person) -> dict[str, Any]:
    creator: dict[str, Any] = {"name": clean(person.name)}
    if person.orcid:
        creator["nameType"] = "Personal"
        creator["nameIdentifiers"] = [
            {"nameIdentifier": person.orcid, "nameIdentifierScheme": "ORCID", "schemeUri": "https://orcid.org"}
        ]
    if person.affiliation:
        creator["affiliation"] = [{"name": person.affiliation}]
    return creator


def _year(record: Record) -> str:
    issued = full_date(record.about.date)
    return issued[:4] if issued else str(record.dates.created.year)


def _dates(record: Record) -> list[dict[str, str]]:
    issued = full_date(record.about.date)
    updated = {"date": record.dates.updated.strftime("%Y-%m-%d"), "dateType": "Updated"}
    return [{"date": issued, "dateType": "Issued"}, updated] if issued else [updated]


def _rights(record: Record) -> list[dict[str, str]]:
    about = record.about
    spdx = spdx_identifier(about)
    rights = {"rights": about.license, "rightsUri": licence_uri(about), "rightsIdentifier": spdx}
    if spdx:
        rights |= {"rightsIdentifierScheme": "SPDX", "schemeUri": "https://spdx.org/licenses/"}
    known = {name: value for name, value in rights.items() if value}
    return [known] if known else []


def datacite_xml(record: Record, landing_page: str) -> Element:
    """The same as DataCite's XML. A table without a DOI says that one is to come."""
    values = datacite_json(record, landing_page)
    document = etree.Element(f"{{{KERNEL}}}resource", nsmap=_DECLARED)
    document.set(f"{{{NAMESPACES['xsi']}}}schemaLocation", f"{KERNEL} {_SCHEMA}")
    _put(document, "identifier", values.get("doi", _TO_COME), identifierType="DOI")
    creators = _put(document, "creators")
    for creator in values["creators"]:
        _put_creator(_put(creators, "creator"), creator)
    _put_list(document, "titles", "title", values["titles"])
    _put(document, "publisher", values["publisher"]["name"])
    _put(document, "publicationYear", values["publicationYear"])
    kind = values["types"]
    _put(document, "resourceType", kind["resourceType"], resourceTypeGeneral=kind["resourceTypeGeneral"])
    _put_list(document, "subjects", "subject", values["subjects"])
    _put_list(document, "dates", "date", values["dates"])
    _put(document, "language", values["language"])
    _put_list(document, "alternateIdentifiers", "alternateIdentifier", values["alternateIdentifiers"])
    if "version" in values:
        _put(document, "version", values["version"])
    _put_list(document, "rightsList", "rights", values.get("rightsList", []))
    _put_list(document, "descriptions", "description", values["descriptions"])
    return document


def _put_creator(parent: Element, creator: Mapping[str, Any]) -> None:
    kind = {"nameType": creator["nameType"]} if "nameType" in creator else {}
    _put(parent, "creatorName", creator["name"], **kind)
    for name in creator.get("nameIdentifiers", []):
        _put(parent, "nameIdentifier", name["nameIdentifier"], **_attributes(name, "nameIdentifier"))
    for affiliation in creator.get("affiliation", []):
        _put(parent, "affiliation", affiliation["name"])


def _put_list(parent: Element, group: str, name: str, entries: Sequence[Mapping[str, str]]) -> None:
    """A group of elements: of each entry the value called `name` is the text, all others are attributes."""
    if not entries:
        return
    element = _put(parent, group)
    for entry in entries:
        _put(element, name, entry.get(name, ""), **_attributes(entry, name))


def _attributes(entry: Mapping[str, str], text: str) -> dict[str, str]:
    """Attributes of DataCite's XML: spelt as in JSON, but for URI."""
    return dict(_renamed(entry, text))


def _renamed(entry: Mapping[str, str], text: str) -> Iterator[tuple[str, str]]:
    for key, value in entry.items():
        if key != text:
            yield (f"{key[:-3]}URI" if key.endswith("Uri") else key), value


def _put(parent: Element, name: str, text: str | None = None, **attributes: str) -> Element:
    element = etree.SubElement(parent, f"{{{KERNEL}}}{name}")
    for key, value in attributes.items():
        element.set(key, legal(value))
    if text is not None:
        element.text = legal(text)
    return element
