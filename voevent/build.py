"""An alert as VOEvent XML, version 2.0, or 2.1 on request.

Children stand in the order that both schemas accept (2.1 made a sequence of AstroCoords), so that the versions differ
in the namespace, and in that 2.1 need not give a radius. Parameters tell what VOEvent has no element for
(`voevent.vocabulary`).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final, Literal

from lxml import etree

from vo_service.config import Settings
from voevent.alert import Alert, AlertError, Parameter
from voevent.identifiers import local_id_of
from voevent.packet import Citation
from voevent.times import format_time
from voevent.vocabulary import (
    ALERT_TYPES,
    PROVENANCE,
    PROVENANCE_MEANING,
    QUANTITIES,
    RESERVED,
    SKYMAP,
    SKYMAPS,
    Quantity,
)

_XSI: Final = "http://www.w3.org/2001/XMLSchema-instance"

_COORD_SYSTEM: Final = "UTC-ICRS-TOPO"
"""Times as the detector has them, the default that the standard recommends (VOEvent 2.1, section 3.4.1)."""


@dataclass(frozen=True, slots=True)
class Author:
    """Who publishes, and under which identifiers.

    Attributes
    ----------
    stream, separator
        Packets are called `stream` `separator` local identifier.
    ivoid
        Identifier of the publishing organisation (Who/AuthorIVORN).
    version
        Version of VOEvent that is written.
    """

    stream: str
    ivoid: str
    separator: Literal["#", "?"] = "#"
    version: Literal["2.0", "2.1"] = "2.0"
    title: str | None = None
    contact_name: str | None = None
    contact_email: str | None = None


def author_of(settings: Settings) -> Author:
    """The author that the settings describe."""
    return Author(
        stream=settings.voevent_stream or f"ivo://{settings.authority}/alerts",
        ivoid=settings.voevent_author or f"ivo://{settings.authority}",
        separator=settings.voevent_separator,
        version=settings.voevent_version,
        title=settings.publisher or settings.title,
        contact_name=settings.contact_name,
        contact_email=settings.contact_email,
    )


def build_packet(alert: Alert, author: Author, now: datetime | None = None) -> bytes:
    """The packet, in UTF-8. The same alert gives the same bytes.

    `now` (naive UTC) is its date if the alert does not say when it was written.

    Raises AlertError if it cannot be told in VOEvent.
    """
    written = alert.written or now
    if written is None:
        raise AlertError("written: expected the time at which the notice was written")
    _check_names(alert)
    namespace = f"http://www.ivoa.net/xml/VOEvent/v{author.version}"
    try:
        root = etree.Element(f"{{{namespace}}}VOEvent", nsmap={"voe": namespace, "xsi": _XSI})
        root.set("version", author.version)
        root.set("role", alert.role)
        root.set("ivorn", packet_ivoid(alert, author))
        root.set(
            f"{{{_XSI}}}schemaLocation", f"{namespace} {namespace.rpartition('/')[0]}/VOEvent-v{author.version}.xsd"
        )
        _who(root, author, written)
        _what(root, alert)
        _where_when(root, alert, author.version)
        _how(root, alert)
        if alert.concept:
            _add(_add(root, "Why"), "Concept", alert.concept)
        _citations(root, cited(alert, author))
        if alert.description:
            _add(root, "Description", alert.description)
    except ValueError as error:  # What lxml says of control characters.
        raise AlertError(f"The alert has text that XML cannot hold: {error}") from None
    return etree.tostring(root, xml_declaration=True, encoding="UTF-8", pretty_print=True)


def packet_ivoid(alert: Alert, author: Author) -> str:
    """Identifier of the packet: the event, the number or edition of the notice (else the time, if it is not the first),
    and the role if it is no observation, so that a test never takes the identifier of what is real.
    """
    parts = [alert.event]
    if alert.record is not None:
        parts.append(str(alert.record))
    if alert.edition is not None:
        parts.append(alert.edition)
    elif alert.record is None and alert.kind != "initial":
        moment = alert.written or alert.time
        parts += [format_time(moment)] if moment else []
        parts.append(alert.kind)
    return _ivoid(author, parts, alert.role)


def cited(alert: Alert, author: Author) -> tuple[Citation, ...]:
    """The packets that it cites: those that it names, else the notice before it, if it is not the initial one.

    Where notices are not numbered, that is the event's own identifier: of its initial notice, if that has no edition.
    """
    if alert.citations or alert.kind == "initial":
        return alert.citations
    parts = [alert.event, str(alert.record - 1)] if alert.record else [alert.event]
    return (Citation(_ivoid(author, parts, alert.role), alert.kind),)


def _ivoid(author: Author, parts: list[str], role: str) -> str:
    return author.stream + author.separator + local_id_of(parts, role)


def _add(parent: etree._Element, tag: str, text: str | None = None, /, **attributes: str | None) -> etree._Element:
    element = etree.SubElement(parent, tag, {key: value for key, value in attributes.items() if value is not None})
    element.text = text
    return element


def _who(root: etree._Element, author: Author, written: datetime) -> None:
    who = _add(root, "Who")
    _add(who, "AuthorIVORN", author.ivoid)
    _add(who, "Date", format_time(written))
    names = {"title": author.title, "contactName": author.contact_name, "contactEmail": author.contact_email}
    if any(names.values()):
        element = _add(who, "Author")
        for name, text in names.items():
            if text:
                _add(element, name, text)


def _what(root: etree._Element, alert: Alert) -> None:
    what = _add(root, "What")
    groups: dict[str, etree._Element] = {}
    for param in _params(alert):
        parent = what
        if param.group is not None:
            if param.group not in groups:
                groups[param.group] = _add(what, "Group", name=param.group)
            parent = groups[param.group]
        value = None if param.value is None else str(param.value)
        data_type = {int: "int", float: "float"}.get(type(param.value))
        element = _add(
            parent, "Param", name=param.name, value=value, unit=param.unit, ucd=param.ucd, dataType=data_type
        )
        if param.description:
            _add(element, "Description", param.description)


def _params(alert: Alert) -> Iterator[Parameter]:
    for quantity in QUANTITIES:
        value = _value(alert, quantity)
        if value is not None:
            unit = alert.energy.unit if alert.energy and quantity.path[0] == "energy" else quantity.unit
            yield Parameter(name=quantity.name, value=value, unit=unit, ucd=quantity.ucd)
    for number, address in enumerate(alert.skymaps, start=1):
        yield Parameter(name=SKYMAP if number == 1 else f"{SKYMAP}_{number}", value=address, ucd="meta.ref.url")
    yield from alert.params
    for name, text in alert.provenance.items():
        yield Parameter(group=PROVENANCE, name=name, value=text)


def _value(alert: Alert, quantity: Quantity) -> Any:  # noqa: ANN401 (a field of any type)
    value: Any = ALERT_TYPES[alert.kind] if quantity.path == ("kind",) else alert
    for step in () if isinstance(value, str) else quantity.path:
        if isinstance(value, tuple) and isinstance(step, int):
            value = value[step]
        elif value is not None:
            value = getattr(value, str(step))
    return value


def _check_names(alert: Alert) -> None:
    """Names are unique within a group, and outside groups (VOEvent 2.1, section 3.3.2)."""
    seen = set()
    for param in alert.params:
        name = param.name.lower()
        if param.group is None and (name in RESERVED or SKYMAPS.fullmatch(name)):
            raise AlertError(f"params: {param.name} is told by a field of its own")
        if param.group == PROVENANCE:
            raise AlertError("params: the group provenance is told by the field provenance")
        if (param.group, param.name) in seen:
            raise AlertError(f"params: {param.name} is there twice{f' in group {param.group}' if param.group else ''}")
        seen.add((param.group, param.name))


def _where_when(root: etree._Element, alert: Alert, version: str) -> None:
    if alert.time is None and alert.position is None:
        return
    location = _add(_add(root, "WhereWhen"), "ObsDataLocation")
    _add(location, "ObservatoryLocation", id=alert.instrument or alert.mission)
    observation = _add(location, "ObservationLocation")
    _add(observation, "AstroCoordSystem", id=_COORD_SYSTEM)
    coords = _add(observation, "AstroCoords", coord_system_id=_COORD_SYSTEM)
    if alert.time is not None:
        moment = _add(coords, "Time", unit="s")
        _add(_add(moment, "TimeInstant"), "ISOTime", format_time(alert.time))
        if alert.time_error is not None:
            _add(moment, "Error", repr(alert.time_error))
    if alert.position is not None:
        position = _add(coords, "Position2D", unit="deg")
        _add(position, "Name1", "RA")
        _add(position, "Name2", "Dec")
        value = _add(position, "Value2")
        _add(value, "C1", repr(alert.position.ra))
        _add(value, "C2", repr(alert.position.dec))
        error = alert.position.error
        if (
            error is not None or version == "2.0"
        ):  # 2.0 wants a radius: NaN where none is known, for 0 would be perfect.
            _add(position, "Error2Radius", "NaN" if error is None else repr(error))


def _how(root: etree._Element, alert: Alert) -> None:
    if not alert.references and not alert.record_url:
        return
    how = _add(root, "How")
    for address in alert.references:
        _add(how, "Reference", uri=address)
    if alert.record_url:
        _add(how, "Reference", uri=alert.record_url, meaning=PROVENANCE_MEANING)


def _citations(root: etree._Element, citations: tuple[Citation, ...]) -> None:
    if citations:
        element = _add(root, "Citations")
        for citation in citations:
            _add(element, "EventIVORN", citation.ivoid, cite=citation.cite)
