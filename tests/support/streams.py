"""Messages of others' streams for tests, written by us in their formats."""

from __future__ import annotations

import base64
import struct
from io import BytesIO
from typing import Any

import fastavro

FITS = b"SIMPLE  =                    T" + b" " * 2850
"""How a FITS file begins."""

GRAVITATIONAL_WAVE: dict[str, Any] = {
    "superevent_id": "S260301ab",
    "time_created": "2026-03-01T12:01:00Z",
    "alert_type": "PRELIMINARY",
    "urls": {"gracedb": "https://example.org/superevents/S260301ab"},
    "event": {
        "time": "2026-03-01T12:00:00.500Z",
        "far": 1e-9,
        "significant": True,
        "instruments": ["H1", "L1"],
        "group": "CBC",
        "search": "AllSky",
        "classification": {"BNS": 0.9, "Terrestrial": 0.1},
        "duration": None,
        "skymap": base64.b64encode(FITS).decode(),
    },
    "external_coinc": {"observatory": "Example", "time_difference": 1.5, "combined_skymap": "AAAA"},
}

DETECTOR: dict[str, Any] = {
    "detector_name": "Example",
    "tier": "CoincidenceTier",
    "uuid": "b1946ac9",
    "machine_time_utc": "2026-03-01T12:00:01.000000000",
    "neutrino_time_utc": "2026-03-01T12:00:00.123456789",
    "p_val": 0.05,
    "is_test": False,
}

COINCIDENCE: dict[str, Any] = {
    "id": "SNEWS_Coincidence_ALERT 2026-03-01T12:00:05.5",
    "alert_type": "COINC_MSG",
    "server_tag": "example",
    "False Alarm Prob": "1.2%",
    "detector_names": ["One", "Two"],
    "sent_time": "2026-03-01T12:00:05.5",
    "p_values": [0.05, 0.07],
    "neutrino_times": ["2026-03-01T12:00:00.5", "2026-03-01T11:59:59.5"],
    "sub list number": 3,
}

CIRCULAR: dict[str, Any] = {
    "$schema": "https://gcn.nasa.gov/schema/main/gcn/circulars.schema.json",
    "circularId": 40001,
    "eventId": "EX 260301A",
    "subject": "EX 260301A: seen",
    "submitter": "A. Person at Example <person@example.org>",
    "body": "It was seen.\nLook up.",
    "createdOn": 1772366400000,
}

TRANSIENT: dict[str, Any] = {
    "objname": "2026abc",
    "name_prefix": "AT",
    "objid": 17,
    "object_type": {"name": None, "id": None},
    "redshift": None,
    "ra": "06:17:12.00",
    "dec": "-07:48:00.0",
    "radeg": 94.3,
    "decdeg": -7.8,
    "radeg_err": 2.5e-05,
    "decdeg_err": 0,
    "discoverydate": "2026-03-01 12:00:00.500",
    "discoverymag": 19.1,
    "discovery_data_source": {"groupid": 48, "group_name": "ZTF"},
}

ZTF: dict[str, Any] = {
    "objectId": "ZTF26aaaaaaa",
    "candid": 3000000000000000001,
    "candidate": {"jd": 2461101.0, "ra": 94.3, "dec": -7.8, "magpsf": 18.5, "ssdistnr": None},
    "prv_candidates": [{"jd": 2461100.0}, {"jd": 2461099.0}],
    "cutoutScience": {"fileName": "science.fits.gz", "stampData": b"\x1f\x8b"},
}

LSST: dict[str, Any] = {
    "diaSourceId": 170000000000000001,
    "diaSource": {
        "diaSourceId": 170000000000000001,
        "diaObjectId": 170000000000000000,
        "midpointMjdTai": 61100.5 + 37 / 86400,
        "ra": 94.3,
        "dec": -7.8,
        "raErr": 2e-5,
        "decErr": 4e-5,
        "psfFlux": float("nan"),
        "pixelFlags_injectedCenter": False,
    },
}

ZTF_SCHEMA: dict[str, Any] = {
    "type": "record",
    "name": "ztf.alert",
    "fields": [
        {"name": "objectId", "type": "string"},
        {"name": "candid", "type": "long"},
        {
            "name": "candidate",
            "type": {
                "type": "record",
                "name": "ztf.candidate",
                "fields": [
                    *({"name": name, "type": "double"} for name in ("jd", "ra", "dec", "magpsf")),
                    {"name": "ssdistnr", "type": ["null", "double"]},
                ],
            },
        },
        {
            "name": "prv_candidates",
            "type": {
                "type": "array",
                "items": {"type": "record", "name": "ztf.prv", "fields": [{"name": "jd", "type": "double"}]},
            },
        },
        {
            "name": "cutoutScience",
            "type": {
                "type": "record",
                "name": "ztf.cutout",
                "fields": [{"name": "fileName", "type": "string"}, {"name": "stampData", "type": "bytes"}],
            },
        },
    ],
}

SOURCE_SCHEMA: dict[str, Any] = {
    "type": "record",
    "name": "lsst.v12_3.diaSource",
    "fields": [
        {"name": "diaSourceId", "type": "long"},
        {"name": "diaObjectId", "type": "long"},
        *({"name": name, "type": "double"} for name in ("midpointMjdTai", "ra", "dec", "raErr", "decErr", "psfFlux")),
        {"name": "pixelFlags_injectedCenter", "type": "boolean"},
    ],
}

LSST_SCHEMA: dict[str, Any] = {
    "type": "record",
    "name": "lsst.v12_3.alert",
    "fields": [
        {"name": "diaSourceId", "type": "long"},
        {"name": "diaSource", "type": "lsst.v12_3.diaSource"},
    ],
}
"""As Rubin's files do, it names the other one."""

IGWN_SCHEMA: dict[str, Any] = {
    "type": "record",
    "name": "igwn.alert",
    "fields": [
        *({"name": name, "type": "string"} for name in ("superevent_id", "time_created", "alert_type")),
        {
            "name": "event",
            "type": ["null", {"type": "record", "name": "event", "fields": [{"name": "skymap", "type": "bytes"}]}],
        },
    ],
}


def container(schema: dict[str, Any], *records: dict[str, Any]) -> bytes:
    """An Avro object container file."""
    buffer = BytesIO()
    fastavro.writer(buffer, schema, records)
    return buffer.getvalue()


def framed(number: int, schema: Any, record: dict[str, Any]) -> bytes:  # noqa: ANN401 (any form of a schema)
    """A record in Confluent's framing."""
    buffer = BytesIO()
    fastavro.schemaless_writer(buffer, schema, record)
    return b"\0" + struct.pack(">I", number) + buffer.getvalue()
