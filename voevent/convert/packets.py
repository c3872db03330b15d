"""VOEvent back to an alert, and so to JSON: whole for packets that we wrote, as far as it goes for those of others."""

from __future__ import annotations

import re
from typing import Any, Final, get_args

from voevent.alert import CITES, Alert, Energy, Position, parse_alert
from voevent.archive.quantities import false_alarm_rate
from voevent.convert.own import to_json
from voevent.elements import child, descendants, text
from voevent.packet import Packet, Param, as_number, read_packet
from voevent.vocabulary import KINDS, PROVENANCE, QUANTITIES, SKYMAPS, Quantity

_QUANTITIES: Final = {quantity.name.lower(): quantity for quantity in QUANTITIES}

_ADDRESS: Final = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*:[!-~]+")

_UNITS: Final = get_args(Energy.model_fields["unit"].annotation)


def to_json_document(raw: bytes) -> dict[str, Any]:
    """Any packet as our own JSON.

    Raises PacketError if it is none, AlertError for one whose role is none of the standard's.
    """
    return to_json(from_packet(read_packet(raw)))


def from_packet(packet: Packet) -> Alert:
    """What a packet says, as an alert. Parameters that do not fit a field of it are kept as parameters.

    Raises AlertError for a packet whose role is none of the standard's.
    """
    fields: dict[str, Any] = {"params": [], "provenance": {}, "skymaps": []}
    quantities = _told(packet)
    for param in packet.params:
        _place(param, quantities, fields)
    for pairs in (fields.get("position", {}), fields.get("energy", {})):
        pairs |= {name: [p[place] for place in sorted(p)] for name, p in pairs.items() if isinstance(p, dict)}
    return parse_alert(fields | {"position": _position(packet, fields)} | _described(packet, fields))


def _told(packet: Packet) -> dict[str, Quantity]:
    """The quantities that can be taken from its parameters: pairs only whole, errors only of what is there."""
    told = {
        param.name.lower(): quantity
        for param in packet.params
        if (quantity := _QUANTITIES.get(param.name.lower()))
        and param.group is None
        and _value(param, quantity) is not None
    }
    lacking = {q.path[:-1] for q in QUANTITIES if isinstance(q.path[-1], int) and q.name.lower() not in told}
    if packet.where.ra is None:
        lacking.add(("position",))
    if "energy" not in told:
        lacking.add(("energy",))
    return {
        name: quantity
        for name, quantity in told.items()
        if not any(quantity.path[: len(path)] == path for path in lacking)
    }


def _place(param: Param, quantities: dict[str, Quantity], fields: dict[str, Any]) -> None:
    """A parameter into the field that it tells, else among the others."""
    name = param.name.lower()
    quantity = quantities.get(name) if param.group is None else None
    value = None if quantity is None else _value(param, quantity)
    if param.group == PROVENANCE and param.name:
        fields["provenance"][param.name] = param.value or ""
    elif param.group is None and SKYMAPS.fullmatch(name) and _ADDRESS.fullmatch(param.value or ""):
        fields["skymaps"].append(param.value)
    elif quantity is None or value is None:
        fields["params"].append(_parameter(param))
    else:
        _put(fields, quantity.path, value)
        if quantity.path == ("energy", "value"):
            fields["energy"]["unit"] = param.unit


def _parameter(param: Param) -> dict[str, Any]:
    """A parameter as it is; its value as a number, if its author says that it is one."""
    number = param.number if param.data_type in ("int", "float") else None
    if number is not None and param.data_type == "int" and number.is_integer():
        number = int(param.value or 0)
    return {
        "name": param.name or "param",
        "value": param.value if number is None else number,
        "unit": param.unit,
        "ucd": param.ucd,
        "description": param.description,
        "group": param.group,
    }


def _value(param: Param, quantity: Quantity) -> Any:  # noqa: ANN401 (a number, a text or a truth value)
    """What a parameter says, in the unit of the field; None if it does not fit there."""
    written = (param.value or "").strip()
    match quantity.path:
        case ("kind",):
            return KINDS.get(written.lower())
        case ("far",):
            return _within(false_alarm_rate([param]))
        case ("position", "systematic_included"):
            return {"true": True, "false": False}.get(written.lower())
        case ("position", "containment"):
            return param.number if param.number is not None and 0 < param.number <= 1 else None
        case ("position", "ellipse", 2):
            return param.number
        case ("record_url",):
            return written if _ADDRESS.fullmatch(written) else None
        case ("energy", "value"):
            return param.number if param.unit in _UNITS and param.number is not None and param.number > 0 else None
        case _:
            return written or None if quantity.data_type == "string" else _count_or_size(param, quantity)


def _count_or_size(param: Param, quantity: Quantity) -> float | None:
    number = _within(param.number)
    if number is not None and quantity.data_type == "int":
        return int(number) if number.is_integer() else None
    return number


def _within(number: float | None) -> float | None:
    return number if number is not None and number >= 0 else None


def _put(fields: dict[str, Any], path: tuple[str | int, ...], value: object) -> None:
    """Into its field; the places of pairs are found by their numbers."""
    *way, last = path
    inner: dict[Any, Any] = fields
    for step in way:
        inner = inner.setdefault(step, {})
    inner[last] = value


def _described(packet: Packet, fields: dict[str, Any]) -> dict[str, Any]:
    """What stands outside What, but the place."""
    cites = tuple(c for c in packet.citations if c.cite in CITES and c.ivoid.startswith("ivo://"))
    strongest = next((cite for cite in reversed(CITES) if any(c.cite == cite for c in cites)), "initial")
    apart = (*fields["skymaps"], fields.get("record_url"))
    coords = child(next(descendants(packet.root, "ObservationLocation"), None), "AstroCoords")
    return {
        "event": fields.get("event") or packet.local_id or packet.ivoid,
        "kind": fields.get("kind", strongest),
        "role": packet.role,
        "written": packet.author_time,
        "time": packet.where.time,
        "time_error": _within(as_number(text(child(coords, "Time"), "Error"))),
        "concept": packet.concept,
        "description": packet.description,
        "references": [a for a in packet.references if a not in apart and _ADDRESS.fullmatch(a)],
        "citations": cites,
    }


def _position(packet: Packet, fields: dict[str, Any]) -> dict[str, Any] | None:
    """The place. A radius that no parameter explains is one whose probability is not known."""
    where = packet.where
    if where.ra is None or where.dec is None:
        return None
    position = {"ra": where.ra, "dec": where.dec, **fields.get("position", {})}
    if Position.model_validate(position).error != where.error:
        position.setdefault("radius", where.error)
    return position
