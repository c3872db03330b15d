"""Real messages of all streams, from their bytes to the archive: what each became, and why some did not.

The file with Rubin's alert needs Rubin's schema, which its licence keeps out of here: it is refused by name of the file
that it asks for.
"""

from __future__ import annotations

import json
from collections import Counter
from datetime import datetime
from pathlib import Path
from typing import Literal

import psycopg
import pytest

from tests.support.xsd import complaints
from vo_service.app import OWN
from vo_service.config import Settings
from vo_service.database.access import Access
from vo_service.database.init import initialise
from vo_service.errors import ServiceError
from voevent.archive.insertion import Original
from voevent.archive.store import AlertStore
from voevent.convert import from_stream, media_type, split
from voevent.convert.packets import to_json_document
from voevent.packet import read_packet
from voevent.pipeline import Source, accept
from voevent.validate import problems

SETTINGS = Settings(authority="org.example")
STREAM = "ivo://org.example"
NOW = datetime(2026, 1, 1)

KINDS = {
    "antares": "antares",
    "babamul": "babamul",
    "fink": "fink",
    "gcn_circular": "circular",
    "gcn_classic": "gcn-classic",
    "gcn": "gcn",
    "igwn": "igwn",
    "lasair": "lasair",
    "lsst": "lsst",
    "pittgoogle": "pittgoogle",
    "snews": "snews",
    "voevent": "gcn-voevent",
    "ztf": "ztf",
}
"""The kind of stream that a file comes from, by the beginning of its name; the first that fits."""

CLASSIC = "refused: GCN's binary packets are not read"

BECOME = {
    "antares_lsst_locus.json": "observation /antares#ANT2019b5sdo_08de512b0d74",
    "babamul_alert.avro": "observation /babamul#ZTF26aauybpk_3458293962815015016",
    "fink_ztf_alert_1.avro": "observation /fink#ZTF18abvcdqu_1048092120315015012",
    "gcn_boom_alert.json": "observation /gcn#ZTF25acffkdr_2025-11-30T10:28:57Z",
    "gcn_chime_frb_retraction.json": "observation /gcn#427325191_2024-09-18T07:19:10.765268_retraction",
    "gcn_circular.json": "observation /circular#circular-33603_1",
    "gcn_classic_icecube_cascade.bin": CLASSIC,
    "gcn_classic_sk_sn.bin": CLASSIC,
    "gcn_classic_snews.bin": CLASSIC,
    "gcn_einstein_probe_240508.json": "observation /gcn#einstein_probe-wxt-alert_2024-05-08T07:38:01.151Z",
    "gcn_einstein_probe_wxt.json": "observation /gcn#01708973486",
    "gcn_fermi_gbm_final.json": "observation /gcn#745121685_7",
    "gcn_fermi_gbm_flight1.json": "observation /gcn#745121685_2",
    "gcn_fermi_lat_flare.json": "observation /gcn#OQ%20334_2025-11-20T00:00:00.0",
    "gcn_icecube_gold_bronze.json": "observation /gcn#IceCube-230416A_1",
    "gcn_icecube_lvk_nu_track_search.json": "observation /gcn#icecube-lvk_nu_track_search_2023-09-14T11:14:01Z",
    "gcn_km3net_alert_he.json": "observation /gcn#KM3-240901A_1",
    "gcn_km3net_alert_multiplet.json": "observation /gcn#KM3-240901B_1",
    "gcn_superk_sn_real.json": "observation /gcn#SN.095001.000001_1",
    "gcn_superk_sn_test.json": "test /gcn#SN.095001.000001_1_test",
    "gcn_svom_grm_trigger.json": "test /gcn#sb24022203_test",
    "gcn_swift_guano_arcmin.json": "observation /gcn#694215995_3",
    "gcn_swift_guano_retraction.json": "observation /gcn#694215995_4",
    "igwn_gwalert_ms181101ab-ext-update_displayexample.json": "test /igwn#MS181101ab_2018-11-01T22:36:25Z_UPDATE_test",
    "igwn_gwalert_ms181101ab-initial_displayexample.json": "test /igwn#MS181101ab_2018-11-01T22:36:25Z_INITIAL_test",
    "igwn_gwalert_ms181101ab-retraction.avro": "test /igwn#MS181101ab_2018-11-01T23:36:23Z_RETRACTION_test",
    "igwn_gwalert_ms181101ab-retraction.json": "conflict /igwn#MS181101ab_2018-11-01T23:36:23Z_RETRACTION_test",
    "lasair_lsst_simple.json": "observation /lasair#12345",
    "lsst_7912941781254298.avro": "refused: The alert follows the schema 900, file lsst.v9_0.alert.avsc",
    "pittgoogle_rows.json": "observation /pittgoogle#ZTF19acfixfe_f29f8657f6ba",
    "snews_coincidence_tier.json": "test /snews#XENONnT_2022-06-14T14:57:12.238275_test",
    "snews_combined.json": "test /snews#XENONnT_2022-06-14T14:21:57.238275_test",
    "snews_heartbeat.json": None,
    "snews_significance_tier.json": "test /snews#KamLAND_2022-06-14T14:21:57.238275_test",
    "snews_timing_tier.json": "test /snews#IceCube_2022-06-14T14:21:57.238275_test",
    "voevent21_ex1.xml": "observation ivo://raptor.lanl/VOEvent#235649409",
    "voevent21_ex2.xml": "prediction ivo://psws.irap/VOEvent/Tao_Jupiter_2018-10-02T17_34_45::v1.0",
    "voevent_amon_icecube.xml": (
        "observation ivo://nasa.gsfc.gcn/AMON#ICECUBE_BRONZE_Event2022-08-22T20:26:30.03_25_136973_028816141_0"
    ),
    "voevent_assasn_2016fvf.xml": (
        "observation ivo://voevent.4pisky.org/ASASSN#2016-09-25.47_2016fvf_PTSS-16nqb_PS16ejf"
    ),
    "voevent_chime_frb_detection.xml": (
        "observation ivo://ca.chimenet.frb/FRB-DETECTION-#1995-01-01-00:00:00.0000002UTC+0000_7f17d982b315"
    ),
    "voevent_chime_frb_retraction.xml": (
        "utility ivo://ca.chimenet.frb/OBS-RETRACTION-#1995-01-01-00:00:00.000000UTC+0000_65550c2c8d65 +"
    ),
    "voevent_chime_frb_subsequent.xml": (
        "observation ivo://ca.chimenet.frb/FRB-SUBSEQUENT-#1995-01-01-00:00:00.000000UTC+0000_f4a33adeaa19 +"
    ),
    "voevent_fermi_gbm_gnd_pos.xml": (
        "observation ivo://nasa.gsfc.gcn/Fermi#GBM_Gnd_Pos_2018-01-16T00:36:52.81_537755817_56-996"
    ),
    "voevent_gaia16aac.xml": "observation ivo://gaia.cam.uk/alerts#Gaia16aac",
    "voevent_gcn_kill_socket.xml": "observation ivo://nasa.gsfc.gcn/gcn +",
    "voevent_hop_example.xml": "observation ivo://gwnet/LVC#S200302c-1-Preliminary",
    "voevent_km3net_he.xml": "observation ivo://KM3NeT_Neutrino#KM3-240901A_1_2024-09-01T12:01:00.00Z",
    "voevent_km3net_multiplet.xml": "observation ivo://KM3NeT_Neutrino#KM3-240901B_2_2025-01-01T12:01:00.00Z",
    "voevent_lvc_gw190425_initial.xml": "observation ivo://gwnet/LVC#S190425z-1-Initial",
    "voevent_lvc_gw190814.xml": "observation ivo://gwnet/LVC#S190814bv-5-Update",
    "voevent_lvk_ms181101ab-2-preliminary.xml": "test ivo://gwnet/LVC#MS181101ab-2-Preliminary",
    "voevent_lvk_ms181101ab-5-retraction.xml": "test ivo://gwnet/LVC#MS181101ab-5-Retraction",
    "voevent_lvk_ms181101ab-6-update.xml": "test ivo://gwnet/LVC#MS181101ab-6-Update",
    "voevent_no_namespace.xml": "test ivo://com.dc3/dc3.broker#BrokerTest-2014-02-24T15:55:27.72",
    "voevent_svom_eclairs_wakeup.xml": "observation ivo://org.svom/fsc#sbYYMMDDnn_eclairs-wakeup",
    "voevent_svom_grm_trigger.xml": "observation ivo://org.svom/fsc#sb25020701_grm-trigger",
    "voevent_svom_mxt.xml": "observation ivo://org.svom/fsc#sb25020504_mxt-initial_qf1",
    "voevent_swift_1125809-092.xml": "observation ivo://nasa.gsfc.gcn/SWIFT#BAT_GRB_Pos_1125809-092",
    "voevent_swift_1125809-104.xml": "observation ivo://nasa.gsfc.gcn/SWIFT#XRT_Pos_1125809-104",
    "voevent_swift_bat_position.xml": "observation ivo://nasa.gsfc.gcn/SWIFT#BAT_GRB_Pos_532871-729",
    "voevent_swift_xrt_position_v1.1.xml": "observation ivo://nasa.gsfc.gcn/SWIFT#XRT_Pos_644259-941",
    "ztf_472263571115115000.avro": "observation /ztf#ZTF17aaajnnn_472263571115115000",
}
"""Role and identifier, with a + where the archive keeps a warning. One retraction is there in Avro and in JSON: it is
stored once, and the other bytes under its identifier are a conflict.
"""

NOTICES = {"converted": 15, "core refused: event_name: expected a name": 5}
"""The examples of the GCN Unified Schema. Those of core are parts of notices, about no event: there is nothing by which
one could be called.
"""


def messages(shared: Path) -> list[Path]:
    return sorted(path for path in (shared / "data" / "alerts").iterdir() if path.name != "SOURCES.md")


def kind_of(path: Path) -> str:
    return next(kind for start, kind in KINDS.items() if path.name.startswith(start))


@pytest.fixture(scope="module")
def archive(access: Access) -> Access:
    initialise(access, OWN)
    return access


async def taken(path: Path, store: AlertStore) -> list[tuple[str, str]]:
    """What the pipeline says of a file: status and identifier of each packet."""
    data, kind = path.read_bytes(), kind_of(path)  # noqa: ASYNC240 (nobody else runs here)
    told: list[tuple[str, str]] = []
    for message in split(data, kind):
        for raw in from_stream(message, kind, f"{STREAM}/{kind}", SETTINGS, NOW):
            original = None if raw == message else Original(message, media_type(message))
            verdict = await accept(raw, Source("stream", kind), store, original)
            told.append((verdict.status, str(verdict.ivoid)))
    return told


async def test_what_real_messages_become(shared: Path, archive: Access) -> None:
    became: dict[str, str | None] = {}
    async with AlertStore(archive) as store:
        for path in messages(shared):
            try:
                told = await taken(path, store)
            except ServiceError as error:
                expected = (BECOME[path.name] or "").removeprefix("refused: ")
                became[path.name] = f"refused: {expected if error.message.startswith(expected) else error.message}"
                continue
            became[path.name] = stored(archive, *told[0]) if told else None
            again = {"accepted": "duplicate", "conflict": "conflict"}
            assert await taken(path, store) == [(again[status], ivoid) for status, ivoid in told]

    assert became == BECOME


def stored(archive: Access, status: str, ivoid: str) -> str:
    query = "SELECT role, warning IS NOT NULL FROM alerts.voevent WHERE ivoid = %s"
    with psycopg.connect(archive.owner.conninfo) as connection:
        row = connection.execute(query, (ivoid,)).fetchone()
    assert row is not None
    told = row[0] if status == "accepted" else status
    return f"{told} {ivoid.removeprefix(STREAM)}{' +' if row[1] else ''}"


def converted(shared: Path, settings: Settings = SETTINGS) -> list[tuple[str, bytes]]:
    """The packets that we make of others' messages, with the kind of each."""
    return [
        (kind_of(path), raw)
        for path in messages(shared)
        if kind_of(path) != "gcn-voevent" and not (BECOME[path.name] or "refused").startswith("refused")
        for raw in from_stream(path.read_bytes(), kind_of(path), f"{STREAM}/{kind_of(path)}", settings, NOW)
    ]


@pytest.mark.parametrize("version", ["2.0", "2.1"])
def test_what_we_make_of_them_is_valid(shared: Path, version: Literal["2.0", "2.1"]) -> None:
    settings = Settings(authority="org.example", voevent_version=version)
    for _, raw in converted(shared, settings):
        packet = read_packet(raw)
        assert complaints(raw, shared) == [], packet.ivoid
        assert problems(packet) == (), packet.ivoid


def test_voevent_parse_loads_what_we_make_of_them(shared: Path) -> None:
    voeventparse = pytest.importorskip("voeventparse", reason="pip install voevent-parse, on Python 3.11")
    for _, raw in converted(shared):
        theirs = voeventparse.loads(raw)
        assert voeventparse.valid_as_v2_0(theirs)
        assert theirs.attrib["ivorn"] == read_packet(raw).ivoid


def test_every_packet_of_a_stream_becomes_json_and_the_same_packet_again(shared: Path) -> None:
    packets = converted(shared)
    assert len(packets) > 25
    for kind, raw in packets:
        document = to_json_document(raw)
        again = rebuilt(document, kind)
        # CHIME's retraction has neither number nor date; it is called by the event's time, ours by that of the packet.
        assert read_packet(again).ivoid == read_packet(raw).ivoid or document["event"] == "427325191"
        written = to_json_document(again)
        assert written.pop("provenance") | {"converted_from": kind} == document.pop("provenance")
        assert written == document


def rebuilt(document: dict[str, object], kind: str) -> bytes:
    (raw,) = from_stream(json.dumps(document).encode(), "own", f"{STREAM}/{kind}", SETTINGS, NOW)
    return raw


def test_every_packet_of_others_becomes_json(shared: Path) -> None:
    """VOEvent 1.1, 2.0, 2.1 and without a namespace, of a dozen authors."""
    paths = [*(shared / "data" / "alerts").glob("*.xml"), *(shared / "conformance" / "voevent").glob("*__*.xml")]
    for path in paths:
        packet = read_packet(path.read_bytes())
        document = to_json_document(packet.raw)
        assert document["event"], path.name
        assert document.get("role", "observation") == packet.role, path.name
    assert len(paths) > 40


def test_examples_of_gcns_schemas(shared: Path) -> None:
    """Every example that GCN gives is converted, or refused for what it is."""
    became: Counter[str] = Counter()
    for path in sorted((shared / "data" / "events" / "gcn_schema" / "gcn" / "notices").rglob("*.example.json")):
        try:
            (raw,) = from_stream(path.read_bytes(), "gcn", f"{STREAM}/gcn", SETTINGS, NOW)
        except ServiceError as error:
            became[f"{path.parent.name} refused: {error.message.partition(',')[0]}"] += 1
            continue
        packet = read_packet(raw)
        assert packet.ivoid.startswith(f"{STREAM}/gcn#")
        became["converted"] += 1

    assert became == NOTICES
