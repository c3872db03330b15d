"""The parameters by which our packets tell what VOEvent has no element for: their names, units and UCDs, once.

Names are those of the GCN Unified Schema where it has them; the false alarm rate is FAR, as LVK and KM3NeT write it.
Written by `voevent.build`, understood by `voevent.convert.packets` (there in any case of letters).
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final, Literal


@dataclass(frozen=True, slots=True)
class Quantity:
    """A parameter for one value of an `Alert`; `path` leads to it, by names of fields and places in pairs."""

    name: str
    path: tuple[str | int, ...]
    ucd: str
    data_type: Literal["string", "int", "float"] = "string"
    unit: str | None = None


def _degrees(name: str, *path: str | int) -> Quantity:
    return Quantity(name, ("position", *path), "stat.error;pos.eq", "float", "deg")


QUANTITIES: Final = (
    Quantity("event_name", ("event",), "meta.id"),
    Quantity("record_number", ("record",), "meta.version", "int"),
    Quantity("edition", ("edition",), "meta.version"),
    Quantity("alert_type", ("kind",), "meta.code.class"),
    Quantity("mission", ("mission",), "instr.experiment"),
    Quantity("instrument", ("instrument",), "instr"),
    Quantity("alert_topology", ("topology",), "meta.code.class"),
    Quantity("FAR", ("far",), "arith.rate", "float", "Hz"),
    Quantity("energy", ("energy", "value"), "phys.energy", "float"),
    Quantity("energy_error_minus", ("energy", "error", 0), "stat.error;phys.energy", "float"),
    Quantity("energy_error_plus", ("energy", "error", 1), "stat.error;phys.energy", "float"),
    _degrees("src_error_50", "radius_50"),
    _degrees("src_error_90", "radius_90"),
    _degrees("src_error", "radius"),
    _degrees("src_error_major", "ellipse", 0),
    _degrees("src_error_minor", "ellipse", 1),
    _degrees("src_error_angle", "ellipse", 2),
    _degrees("ra_error_minus", "ra_error", 0),
    _degrees("ra_error_plus", "ra_error", 1),
    _degrees("dec_error_minus", "dec_error", 0),
    _degrees("dec_error_plus", "dec_error", 1),
    Quantity("containment_probability", ("position", "containment"), "stat.confidenceLevel", "float"),
    Quantity("systematic_included", ("position", "systematic_included"), "meta.code"),
    Quantity("provenance_url", ("record_url",), "meta.ref.url"),
)

SKYMAP: Final = "healpix_url"
"""Name of the parameter that gives the address of the first sky map; LVK's is `skymap_fits`."""

RESERVED: Final = frozenset(quantity.name.lower() for quantity in QUANTITIES)
"""Names, in small letters, that other parameters outside groups cannot have; nor those of sky maps."""

SKYMAPS: Final = re.compile(rf"{SKYMAP}(_\d+)?|skymap_fits", re.IGNORECASE)
"""Names of parameters that give addresses of sky maps; second ones are numbered, as names are unique."""

PROVENANCE: Final = "provenance"
"""Name of the group of parameters that tell how the alert came to be."""

PROVENANCE_MEANING: Final = "http://www.w3.org/ns/prov#has_provenance"
"""Meaning of the Reference to the record of provenance (W3C PROV-AQ)."""

ALERT_TYPES: Final = {
    "initial": "initial",
    "followup": "subsequent",
    "supersedes": "update",
    "retraction": "retraction",
}
"""`alert_type` of the GCN Unified Schema for each kind of alert."""

KINDS: Final = {word: kind for kind, word in ALERT_TYPES.items()}
"""The kind of alert for each `alert_type`."""
