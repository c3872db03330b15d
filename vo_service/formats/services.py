"""Service descriptors: what a result says of services that its values can be sent to (DataLink 1.1, section 4)."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass

from lxml import etree

_NO_NAME = re.compile(r"[^\w.-]")


@dataclass(frozen=True, slots=True)
class InputParameter:
    """A parameter that a service takes, in the words of VOTable (PARAM).

    Attributes
    ----------
    column
        Name of the column of the result whose values are sent; None for values that the client chooses.
    value
        What is sent unless the client chooses otherwise.
    smallest, largest
        The range that makes sense, as text.
    options
        The values that there are, if they are few.
    """

    name: str
    datatype: str = "char"
    arraysize: str | None = "*"
    column: str | None = None
    value: str = ""
    xtype: str | None = None
    unit: str | None = None
    ucd: str | None = None
    description: str = ""
    smallest: str | None = None
    largest: str | None = None
    options: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class ServiceDescriptor:
    """A service: its address, its standard, and what it is asked with.

    Attributes
    ----------
    identifier
        XML ID by which rows of the result refer to the service (`service_def`); None where none does.
    """

    name: str
    url: str
    parameters: tuple[InputParameter, ...]
    description: str = ""
    standard_id: str | None = None
    content_type: str | None = None
    identifier: str | None = None

    def columns(self) -> tuple[str, ...]:
        """The names of the columns whose values are sent to the service."""
        return tuple(parameter.column for parameter in self.parameters if parameter.column is not None)


def field_ids(services: Iterable[ServiceDescriptor], taken: Iterable[str]) -> dict[str, str]:
    """XML IDs for the columns that services refer to, by name; `taken` are those of other elements.

    Readers call a column by its ID where it has one: it is the name, as far as XML allows.
    """
    ids: dict[str, str] = {}
    used = {*taken, *(service.identifier for service in services if service.identifier)}
    for name in dict.fromkeys(name for service in services for name in service.columns()):
        identifier = _NO_NAME.sub("_", name)
        if not re.match(r"[^\W\d]", identifier):
            identifier = f"_{identifier}"
        while identifier in used:
            identifier += "_"
        used.add(identifier)
        ids[name] = identifier
    return ids


def service_resource(service: ServiceDescriptor, ids: dict[str, str]) -> etree._Element:
    """The RESOURCE of a service; `ids` are the XML IDs of the columns that it refers to."""
    resource = etree.Element("RESOURCE", type="meta", utype="adhoc:service", name=service.name)
    if service.identifier is not None:
        resource.set("ID", service.identifier)
    _describe(resource, service.description)
    for name, value, ucd in (
        ("standardID", service.standard_id, None),
        ("accessURL", service.url, "meta.ref.url"),
        ("contentType", service.content_type, None),
    ):
        if value is not None:
            text = InputParameter(name, value=value, ucd=ucd)
            resource.append(_parameter(text, {}))
    group = etree.SubElement(resource, "GROUP", name="inputParams")
    for parameter in service.parameters:
        group.append(_parameter(parameter, ids))
    return resource


def _parameter(parameter: InputParameter, ids: dict[str, str]) -> etree._Element:
    attributes = {
        "name": parameter.name,
        "datatype": parameter.datatype,
        "arraysize": parameter.arraysize,
        "xtype": parameter.xtype,
        "unit": parameter.unit,
        "ucd": parameter.ucd,
        "ref": None if parameter.column is None else ids[parameter.column],
    }
    element = etree.Element("PARAM", {name: value for name, value in attributes.items() if value})
    element.set("value", parameter.value)
    _describe(element, parameter.description)
    if parameter.smallest is not None or parameter.largest is not None or parameter.options:
        values = etree.SubElement(element, "VALUES")
        for name, limit in (("MIN", parameter.smallest), ("MAX", parameter.largest)):
            if limit is not None:
                etree.SubElement(values, name, value=limit)
        for option in parameter.options:
            etree.SubElement(values, "OPTION", value=option)
    return element


def _describe(element: etree._Element, description: str) -> None:
    if description:
        etree.SubElement(element, "DESCRIPTION").text = description
