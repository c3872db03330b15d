"""JSON notices of the GCN Unified Schema (`gcn.notices.*`) to alerts.

All schemas inherit the same core, so that one reading serves every mission, also those to come: what the core defines
becomes a field of the alert, everything else a parameter under its own name. Facts on the schemas: version 7.2 of
gcn-schema, notices/core and notices/neutrino.
"""

from __future__ import annotations

import re
from typing import Any, Final

from voevent.alert import Alert, AlertError, parse_alert
from voevent.convert.parameters import numbered, parameters
from voevent.vocabulary import KINDS

_ROLES: Final = {
    "current": "observation",
    "archival": "observation",
    "planned": "prediction",
    "injection": "test",
    "commanded": "test",
    "test": "test",
}
"""Roles by `alert_tense`."""

_FIELDS: Final = {
    "mission": "mission",
    "instrument": "instrument",
    "alert_topology": "topology",
    "record_number": "record",
    "far": "far",  # hertz, in all schemas; KM3NeT's VOEvent of the same number says yr^-1
    "alert_datetime": "written",
    "additional_info": "description",
}
"""Keys that are a field as they are."""

_PLACE: Final = frozenset(
    "ra dec ra_dec_error containment_probability systematic_included src_error_50 most_probable_direction".split()
)

_OTHERS: Final = frozenset("$schema event_name id alert_type alert_tense trigger_time nu_energy healpix_url".split())
"""Keys that are read below; what is in none of these three is a parameter."""

_UNITS: Final = {
    **dict.fromkeys(
        "ra dec ra_dec_error src_error_50 angular_distance galactic_l galactic_b sun_distance".split(), "deg"
    ),
    **dict.fromkeys("trigger_time_error rate_duration image_duration observation_livetime event_dt".split(), "s"),
    "detection_interval": "s",
    "luminosity_distance": "Mpc",
    "luminosity_distance_error": "Mpc",
    "energy_measured": "GeV",
}
"""Units that the schemas tell in prose."""

_ADDRESS: Final = re.compile(r"https?://[!-~]+")

_DEFAULT_CONTAINMENT: Final = 0.9
"""Of `ra_dec_error` where nothing is told (notices/core/Localization)."""


def is_gcn(notice: dict[str, Any]) -> bool:
    """Whether a JSON object is a notice of GCN: by its `$schema`, else by keys that ours has not."""
    if "$schema" in notice:
        return "gcn.nasa.gov/schema" in str(notice["$schema"])
    return not notice.keys().isdisjoint(("alert_datetime", "alert_tense", "trigger_time"))


def from_gcn(notice: dict[str, Any]) -> Alert:
    """An alert from a notice.

    Raises AlertError if it is no notice, or has values that its schema does not allow.
    """
    schema = str(notice.get("$schema", ""))
    if schema and "/gcn/notices/" not in schema:
        raise AlertError(f"$schema: expected one of gcn/notices, got {schema[:200]!r}")
    main = {**_sole_target(notice), **notice}
    fields: dict[str, Any] = {field: notice[key] for key, field in _FIELDS.items() if notice.get(key) is not None}
    if isinstance(fields.get("instrument"), list):
        fields["instrument"] = ", ".join(str(part) for part in fields["instrument"])
    fields |= _identity(main)
    fields["kind"] = _word(notice, "alert_type", KINDS, "initial")
    fields["role"] = _word(notice, "alert_tense", _ROLES, "observation")
    fields["time"] = next((main[key] for key in ("trigger_time", "observation_start") if main.get(key)), None)
    if (error := _number(notice, "trigger_time_error")) is not None:
        fields["time_error"] = error
    fields["position"] = _position(main)
    if (energy := _number(notice, "nu_energy")) is not None:
        fields["energy"] = {"value": energy, "unit": "TeV"}  # notices/icecube
    fields["skymaps"] = [notice["healpix_url"]] if notice.get("healpix_url") else []
    fields["references"] = [value for key, value in notice.items() if _is_reference(key, value)]
    fields["provenance"] = {"notice_schema": schema} if schema else {}
    fields["params"] = [*fields.pop("names"), *parameters(notice, _told(notice), _UNITS)]
    return parse_alert(fields)


def _identity(main: dict[str, Any]) -> dict[str, Any]:
    """The event's name; its other names and identifiers are parameters.

    Where a notice has none, and is no part of a numbered or typed sequence, its time tells it from others.
    """
    names, ids = _texts(main.get("event_name")), _texts(main.get("id"))
    event = next(iter([*names, *ids]), "")
    if not event or (not ids and main.get("record_number") is None and main.get("alert_type") is None):
        moment = next(
            (main[key] for key in ("trigger_time", "observation_start", "alert_datetime") if main.get(key)), None
        )
        source = event or _source(main)
        if not source or not moment:
            raise AlertError("event_name: expected a name, an id, or a time by which the event can be called")
        event = f"{source}_{moment}"
    others = [*numbered("id", [name for name in ids if name != event]), *numbered("alias", names[1:])]
    return {"event": event, "names": [{"name": name, "value": value, "ucd": "meta.id"} for name, value in others]}


def _source(main: dict[str, Any]) -> str:
    """What an event without a name is called after: the schema's place, else mission and instrument."""
    path = str(main.get("$schema", "")).partition("/gcn/notices/")[2].removesuffix(".schema.json")
    return path.replace("/", "-") or "-".join(str(main[key]) for key in ("mission", "instrument") if main.get(key))


def _sole_target(notice: dict[str, Any]) -> dict[str, Any]:
    """The one target of a notice about targets (notices/boom): its name and place are the alert's."""
    data = notice.get("data")
    targets = data.get("targets") if isinstance(data, dict) else None
    if isinstance(targets, list) and len(targets) == 1 and isinstance(targets[0], dict):
        return {key: value for key, value in targets[0].items() if key in _PLACE or key in ("event_name", "id")}
    return {}


def _position(main: dict[str, Any]) -> dict[str, Any] | None:
    direction = main.get("most_probable_direction")  # notices/icecube/lvk_nu_track_search
    place = direction if main.get("ra") is None and isinstance(direction, dict) else main
    ra, dec = _number(place, "ra"), _number(place, "dec")
    if ra is None and dec is None:
        return None
    position = {"ra": ra % 360 if ra is not None and -180 <= ra <= 360 else ra, "dec": dec}
    position |= {"systematic_included": place.get("systematic_included"), "radius_50": _number(place, "src_error_50")}
    return position | _errors(place)


def _errors(place: dict[str, Any]) -> dict[str, Any]:
    """`ra_dec_error`: a radius, or semi-major axis, semi-minor axis and position angle."""
    error = place.get("ra_dec_error")
    if error is None:
        return {}
    containment = _number(place, "containment_probability")
    containment = _DEFAULT_CONTAINMENT if containment is None else containment
    axes = error if isinstance(error, list) else [error]
    if len(axes) == 1:
        name = {0.9: "radius_90", 0.5: "radius_50"}.get(containment)
        return {name: axes[0]} if name else {"radius": axes[0], "containment": containment}
    return {"ellipse": [*axes, 0.0] if len(axes) == 2 else axes, "containment": containment}


def _word(notice: dict[str, Any], key: str, words: dict[str, str], default: str) -> str:
    word = notice.get(key)
    if word is None:
        return default
    if not isinstance(word, str) or word not in words:
        raise AlertError(f"{key}: expected one of {', '.join(words)}, got {word!r}")
    return words[word]


def _number(place: dict[str, Any], key: str) -> float | None:
    """A number, or None if there is none; a list (asymmetric errors) stays a parameter."""
    value = place.get(key)
    if value is None or isinstance(value, list):
        return None
    try:
        if isinstance(value, int | float) and not isinstance(value, bool):
            return float(value)
    except OverflowError:  # JSON has integers of any length.
        pass
    raise AlertError(f"{key}: expected a number, got {str(value)[:40]!r}")


def _texts(value: object) -> list[str]:
    values = value if isinstance(value, list) else [value]
    return [str(part).strip() for part in values if part is not None and str(part).strip()]


def _is_reference(key: str, value: object) -> bool:
    return key.endswith(("_url", "_page")) and key != "healpix_url" and bool(_ADDRESS.fullmatch(str(value)))


def _told(notice: dict[str, Any]) -> set[str]:
    """Keys that are a field of the alert."""
    told = {*_FIELDS, *_OTHERS, *_PLACE} - {"most_probable_direction"}
    return told if isinstance(notice.get("trigger_time_error"), list) else told | {"trigger_time_error"}
