"""GCN Circulars: texts by people, as JSON of GCN's topic `gcn.circulars`, and as Hopskotch carries them.

Facts: gcn-schema, circulars.schema.json; hop-client's GCNCircular, which is a header and a body.
"""

from __future__ import annotations

from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Any

from voevent.alert import Alert, AlertError, parse_alert
from voevent.convert.parameters import parameters

_PAGE = "https://gcn.nasa.gov/circulars/"


def is_circular(notice: dict[str, Any]) -> bool:
    """Whether a JSON object is a circular."""
    return "circularId" in notice or ("body" in notice and isinstance(notice.get("header"), dict))


def from_circular(notice: dict[str, Any]) -> Alert:
    """An alert from a circular: its subject and text. Corrected ones supersede the version before.

    Raises AlertError if it has no number.
    """
    circular = _from_header(notice) if isinstance(notice.get("header"), dict) else notice
    number, version = circular.get("circularId"), circular.get("version") or 1
    if number is None:
        raise AlertError("circularId: expected the number of a circular")
    written = circular.get("editedOn") or circular.get("createdOn")
    text = "\n\n".join(str(circular[key]) for key in ("subject", "body") if circular.get(key))
    told = {"$schema", "circularId", "version", "body", "createdOn", "editedOn"}
    return parse_alert(
        {
            "event": f"circular-{number}",
            "record": version,
            "kind": "initial" if version == 1 else "supersedes",
            "written": _moment(written),
            "description": text or None,
            "references": [f"{_PAGE}{number}"],
            "params": list(parameters(circular, told)),
        }
    )


def _from_header(notice: dict[str, Any]) -> dict[str, Any]:
    """A circular of Hopskotch in the words of GCN."""
    header = {str(key).lower(): value for key, value in notice["header"].items()}
    words = {"number": "circularId", "from": "submitter", "date": "createdOn"}
    return {words.get(key, key): value for key, value in header.items()} | {"body": notice.get("body")}


def _moment(written: object) -> datetime | None:
    """Milliseconds since 1970, or the date of a letter."""
    try:
        if isinstance(written, int | float):
            return datetime.fromtimestamp(written / 1000, UTC)
        return parsedate_to_datetime(str(written)) if written else None
    except (ValueError, OverflowError, OSError):
        pass
    try:  # GCN's own form of old: 20/12/15 03:20:39 GMT
        return datetime.strptime(str(written), "%y/%m/%d %H:%M:%S GMT").replace(tzinfo=UTC)
    except ValueError:
        raise AlertError(f"createdOn: expected milliseconds since 1970 or a date, got {written!r}") from None
