"""A record as VOResource 1.2 has it."""

from __future__ import annotations

from datetime import datetime

from lxml import etree

from registry_records.record import Record
from registry_records.terms import doi_uri, full_date, licence_uri, orcid_uri, uat_term
from vo_service.catalog.model import Person, Resource
from vo_service.vosi.documents import NAMESPACES, Element, add, legal, root

SHORT_NAME = 16
"""Characters of a short name at most (section 3.1.1)."""


def voresource(record: Record) -> Element:
    """The record as a `ri:Resource`."""
    element = root("ri", "Resource", "vr", "vg", "vs", "tr", "cs", "voe", "xsi")
    element.set(f"{{{NAMESPACES['xsi']}}}type", record.kind)
    element.set("created", utc(record.dates.created))
    element.set("updated", utc(record.dates.updated))
    element.set("status", "active")
    element.set("version", "1.2")
    add(element, "title", record.title)
    if record.short_name:
        add(element, "shortName", record.short_name[:SHORT_NAME].strip())
    add(element, "identifier", record.ivoid)
    if record.about.doi:
        add(element, "altIdentifier", doi_uri(record.about.doi))
    _add_curation(element, record)
    _add_content(element, record)
    if record.has_rights:
        _add_rights(element, record.about)
    for capability in record.capabilities:
        capability.add_to(element)
    record.tail(element)
    return element


def utc(moment: datetime) -> str:
    """A moment in UTC as VOResource and OAI-PMH write it."""
    return moment.strftime("%Y-%m-%dT%H:%M:%SZ")


def _add_curation(parent: Element, record: Record) -> None:
    about = record.about
    curation = add(parent, "curation")
    add(curation, "publisher", about.publisher)
    for person in about.creators:
        creator = add(curation, "creator")
        add(creator, "name", person.name)
        _add_orcid(creator, person)
    if (issued := full_date(about.date)) is not None:
        add(curation, "date", issued, role="Issued")
    add(curation, "date", utc(record.dates.updated), role="Updated")
    if about.version:
        add(curation, "version", about.version)
    if about.contact is not None:
        contact = add(curation, "contact")
        add(contact, "name", about.contact.name)
        if about.contact.email:
            add(contact, "email", about.contact.email)
        _add_orcid(contact, about.contact)


def _add_orcid(parent: Element, person: Person) -> None:
    if person.orcid:
        add(parent, "altIdentifier", orcid_uri(person.orcid))


def _add_content(parent: Element, record: Record) -> None:
    content = add(parent, "content")
    for subject in record.about.subjects:
        add(content, "subject", uat_term(subject))
    add(content, "description", record.description)
    add(content, "referenceURL", record.page)
    add(content, "type", record.content_type)
    add(content, "contentLevel", "Research")
    for relation in record.relations:
        relationship = add(content, "relationship")
        add(relationship, "relationshipType", relation.kind)
        add(relationship, "relatedResource", relation.title, ivo_id=relation.ivoid)


def _add_rights(parent: Element, about: Resource) -> None:
    uri = licence_uri(about)
    if about.license or uri:
        add(parent, "rights", about.license or uri, rightsURI=uri)


def written(element: Element) -> bytes:
    """An element without an XML declaration, for a place in a larger document."""
    return etree.tostring(element, encoding="utf-8", xml_declaration=False)


def clean(text: str) -> str:
    """Text on one line, without what XML cannot hold."""
    return " ".join(legal(text).split())
