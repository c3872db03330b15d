"""Objects of the Transient Name Server, as its API gives them.

Facts: replies of `get/object` and `get/search`; discovery dates are UTC, positions ICRS in degrees with errors in
degrees, 0 where they are not known. Objects change (a class, a redshift) and have no versions: what an object says
tells its packet from others.
"""

from __future__ import annotations

import hashlib
import json
from typing import Any, Final

from voevent.alert import Alert, AlertError, parse_alert
from voevent.convert.document import read_json
from voevent.convert.parameters import parameters

_PAGE: Final = "https://www.wis-tns.org/object/"

_OK: Final = 200

_TOLD: Final = frozenset("objname ra dec radeg decdeg radeg_err decdeg_err discoverydate object_type public".split())

_UNITS: Final = {"discoverymag": "mag"}


def objects(data: bytes) -> list[bytes]:
    """The objects of a reply, each as JSON in one form: the same object gives the same bytes.

    Raises AlertError if the server refused, or replied something else.
    """
    document = read_json(data, strict=False)
    if document.get("id_code", _OK) != _OK:
        raise AlertError(f"The Transient Name Server says: {document.get('id_message') or document['id_code']}")
    found = document.get("data", document)
    if isinstance(found, dict):
        found = found.get("reply", found)
    found = found if isinstance(found, list) else [found]
    if not all(isinstance(part, dict) and part.get("objname") for part in found):
        raise AlertError("Expected a reply of the Transient Name Server, objects with objname")
    return [_canonical(part) for part in found]


def from_tns(thing: dict[str, Any]) -> Alert:
    """An alert from an object. It replaces earlier ones when the object has been classified.

    Raises AlertError if it has no name, or values that cannot be used.
    """
    name = thing.get("objname")
    if not name:
        raise AlertError("objname: expected the name of an object")
    ra, dec = thing.get("radeg"), thing.get("decdeg")
    kind = thing.get("object_type")
    concept = kind.get("name") if isinstance(kind, dict) else None
    source = thing.get("discovery_data_source")
    errors = {
        field: (thing[key], thing[key])
        for field, key in (("ra_error", "radeg_err"), ("dec_error", "decdeg_err"))
        if thing.get(key)
    }
    return parse_alert(
        {
            "event": name,
            "edition": hashlib.sha256(_canonical(thing)).hexdigest()[:12],
            "kind": "supersedes" if concept else "initial",
            "time": thing.get("discoverydate"),
            "position": None if ra is None else {"ra": ra, "dec": dec, **errors},
            "mission": source.get("group_name") if isinstance(source, dict) else None,
            "concept": concept,
            "references": [f"{_PAGE}{name}"],
            "params": list(parameters(thing, _TOLD, _UNITS)),
        }
    )


def _canonical(thing: dict[str, Any]) -> bytes:
    return json.dumps(thing, sort_keys=True, separators=(",", ":"), ensure_ascii=False).encode()
