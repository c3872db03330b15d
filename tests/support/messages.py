"""One message of each stream that sources read, of our own making: the words are those of the streams."""

from __future__ import annotations

import base64
import io
import json
import struct
from pathlib import Path
from typing import Any

import fastavro

from tests.support.voevents import packet


def gcn(name: str, **more: object) -> bytes:
    """A notice of the GCN Unified Schema, as `gcn.notices.km3net.alert` has them."""
    notice = {
        "$schema": "https://gcn.nasa.gov/schema/v7.2.0/gcn/notices/km3net/alert.schema.json",
        "mission": "KM3NeT",
        "instrument": "ARCA",
        "id": [name],
        "event_name": [name],
        "alert_datetime": "2026-03-01T12:05:00Z",
        "alert_type": "initial",
        "alert_tense": "test",
        "trigger_time": "2026-03-01T12:00:00.25Z",
        "ra": 94.3,
        "dec": -7.8,
        "ra_dec_error": 1.5,
        "far": 3.9e-7,
    }
    return json.dumps(notice | more).encode()


def circular(number: int) -> bytes:
    """A GCN Circular."""
    return json.dumps(
        {
            "eventId": "EX 260301A",
            "circularId": number,
            "subject": "EX 260301A: an example",
            "submitter": "A. Person at an institute <person@example.org>",
            "createdOn": 1772366700000,
            "body": "We report what an example would.",
        }
    ).encode()


def igwn(name: str, skymap: bytes = b"SIMPLE  = an example") -> bytes:
    """An alert of gravitational waves with a sky map inside."""
    return json.dumps(
        {
            "alert_type": "PRELIMINARY",
            "time_created": "2026-03-01T12:05:00Z",
            "superevent_id": name,
            "urls": {"gracedb": f"https://example.org/superevents/{name}/view/"},
            "event": {
                "time": "2026-03-01T12:00:00.25Z",
                "far": 1.2e-8,
                "significant": True,
                "instruments": ["H1", "L1"],
                "group": "CBC",
                "pipeline": "example",
                "search": "AllSky",
                "properties": {"HasNS": 0.5},
                "classification": {"BNS": 0.9},
                "skymap": base64.b64encode(skymap).decode(),
            },
            "external_coinc": None,
        }
    ).encode()


def snews(name: str) -> dict[str, Any]:
    """What a detector tells SNEWS."""
    return {
        "id": name,
        "uuid": name,
        "tier": "CoincidenceTier",
        "schema_version": "1.1.0",
        "detector_name": "KM3NeT",
        "machine_time_utc": "2026-03-01T12:05:00Z",
        "sent_time_utc": "2026-03-01T12:05:01Z",
        "neutrino_time_utc": "2026-03-01T12:00:00.25Z",
        "p_val": 0.01,
        "is_test": True,
    }


def own(name: str, **more: object) -> bytes:
    """An alert in the service's own JSON."""
    return json.dumps(
        {"event": name, "time": "2026-03-01T12:00:00Z", "position": {"ra": 94.3, "dec": -7.8}} | more
    ).encode()


def lasair(number: int) -> bytes:
    """What passes a filter at Lasair."""
    return json.dumps({"diaObjectId": number, "ra": 94.3, "decl": -7.8, "UTC": "2026-03-01 12:00:00"}).encode()


def antares(name: str) -> bytes:
    """A locus of ANTARES."""
    return json.dumps(
        {
            "locus_id": name,
            "ra": 94.3,
            "dec": -7.8,
            "alerts": [{"alert_id": f"{name}_1", "mjd": 61100.5, "properties": {"ant_mag": 18.5}}],
        }
    ).encode()


ZTF = {
    "type": "record",
    "name": "alert",
    "fields": [
        {"name": "objectId", "type": "string"},
        {"name": "candid", "type": "long"},
        {
            "name": "candidate",
            "type": {
                "type": "record",
                "name": "candidate",
                "fields": [{"name": name, "type": "double"} for name in ("jd", "ra", "dec", "magpsf")],
            },
        },
    ],
}

RUBIN = {
    "type": "record",
    "name": "alert",
    "namespace": "lsst.v98_7",
    "fields": [
        {"name": "diaSourceId", "type": "long"},
        {
            "name": "diaSource",
            "type": {
                "type": "record",
                "name": "diaSource",
                "fields": [{"name": "diaSourceId", "type": "long"}]
                + [{"name": name, "type": "double"} for name in ("midpointMjdTai", "ra", "dec")],
            },
        },
    ],
}


def survey(name: str, candid: int) -> dict[str, Any]:
    """An alert of ZTF."""
    candidate = {"jd": 2461100.5, "ra": 94.3, "dec": -7.8, "magpsf": 18.5}
    return {"objectId": name, "candid": candid, "candidate": candidate}


def ztf(name: str, candid: int) -> bytes:
    """An alert of ZTF, as it and Babamul send it: with its schema."""
    file = io.BytesIO()
    fastavro.writer(file, ZTF, [survey(name, candid)], codec="deflate")
    return file.getvalue()


def fink(name: str, candid: int) -> tuple[bytes, bytes]:
    """Key and value of a message of Fink: the schema, and the record without it."""
    record = io.BytesIO()
    fastavro.schemaless_writer(record, ZTF, survey(name, candid))
    return json.dumps(ZTF).encode(), record.getvalue()


def rubin(number: int, schemas: Path) -> bytes:
    """An alert of Rubin, framed as it sends them; its schema is written to the directory."""
    (schemas / "lsst.v98_7.alert.avsc").write_text(json.dumps(RUBIN), encoding="utf-8")
    record = io.BytesIO()
    source = {"diaSourceId": number, "midpointMjdTai": 61100.0, "ra": 94.3, "dec": -7.8}
    fastavro.schemaless_writer(record, RUBIN, {"diaSourceId": number, "diaSource": source})
    return struct.pack(">BI", 0, 9807) + record.getvalue()


def voevent(ivoid: str) -> bytes:
    """A VOEvent, as GCN passes them on."""
    return packet(ivoid)
