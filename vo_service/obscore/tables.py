"""What TAP tells of ivoa.obscore and ivoa.obscore_hea.

UCDs, utypes and units are those of ObsCore 1.1 (tables 6 and 7, with erratum 1) and of the high-energy extension
(Proposed Endorsed Note 1.0, 2026-08-03, table 1, which has no utypes).
"""

from __future__ import annotations

from typing import Final

from vo_service.catalog.model import Column, ForeignKey, Schema, Table

NAME: Final = "ivoa"

OBSCORE: Final = "ivo://ivoa.net/std/ObsCore#core-1.1"
"""The data model that the TAP service declares."""

_TABLE: Final = "ivo://ivoa.net/std/ObsCore#table-1.1"
"""By which searches in the registry find tables of ObsCore."""

_LOCATION = "Char.SpatialAxis.Coverage.Location.Coord.Position2D.Value2"
_TIMES = "Char.TimeAxis.Coverage.Bounds.Limits"
_WAVES = "Char.SpectralAxis.Coverage.Bounds.Limits"

_OBSCORE: Final = f"""
    dataproduct_type | char | | meta.code.class | ObsDataset.dataProductType | \
Kind of data product: event for an event list
    dataproduct_subtype | char | | meta.code.class | ObsDataset.dataProductSubtype | \
Kind of data product in the high-energy extension: hea-event-list, response-function
    calib_level | int | | meta.code;obs.calib | ObsDataset.calibLevel | \
Level of calibration: 0 raw, 1 instrumental, 2 calibrated, 3 more than that, 4 the outcome of analysis
    obs_collection | unicodeChar | | meta.id | DataID.Collection | Collection that it belongs to
    obs_id | unicodeChar | | meta.id | DataID.observationID | Identifier that all products of one observation share
    obs_title | unicodeChar | | meta.title;obs | DataID.Title | Title
    obs_publisher_did | char | | meta.ref.ivoid | Curation.PublisherDID | \
Identifier of the data set, given by its publisher
    access_url | char | | meta.ref.url | Access.Reference | Where the data are to be had
    access_format | char | | meta.code.mime | Access.Format | Media type of what is at access_url
    access_estsize | long | kbyte | phys.size;meta.file | Access.Size | Estimated size
    target_name | unicodeChar | | meta.id;src | Target.Name | Object that was observed
    s_ra | double | deg | pos.eq.ra | {_LOCATION}.C1 | Right ascension of the centre, ICRS
    s_dec | double | deg | pos.eq.dec | {_LOCATION}.C2 | Declination of the centre, ICRS
    s_fov | double | deg | phys.angSize;instr.fov | Char.SpatialAxis.Coverage.Bounds.Extent.diameter | \
Diameter of the region around the centre that holds all positions
    s_region | char | | pos.outline;obs.field | Char.SpatialAxis.Coverage.Support.Area | \
Region that holds all positions, a MOC
    s_resolution | double | arcsec | pos.angResolution | Char.SpatialAxis.Resolution.Refval.value | \
Angular resolution
    s_xel1 | long | | meta.number | Char.SpatialAxis.numBins1 | Pixels along the first axis; -1: there are none
    s_xel2 | long | | meta.number | Char.SpatialAxis.numBins2 | Pixels along the second axis; -1: there are none
    t_min | double | d | time.start;obs.exposure | {_TIMES}.StartTime | First time, MJD
    t_max | double | d | time.end;obs.exposure | {_TIMES}.StopTime | Last time, MJD
    t_exptime | double | s | time.duration;obs.exposure | Char.TimeAxis.Coverage.Support.Extent | Exposure time
    t_resolution | double | s | time.resolution | Char.TimeAxis.Resolution.Refval.value | Time resolution
    t_xel | long | | meta.number | Char.TimeAxis.numBins | Bins of time; -1: there are none
    em_min | double | m | em.wl;stat.min | {_WAVES}.LoLimit | \
Wavelength of photons of the largest energy
    em_max | double | m | em.wl;stat.max | {_WAVES}.HiLimit | \
Wavelength of photons of the smallest energy
    em_res_power | double | | spect.resolution | Char.SpectralAxis.Resolution.ResolPower.refVal | \
Energy by its resolution
    em_xel | long | | meta.number | Char.SpectralAxis.numBins | Bins of energy; -1: there are none
    em_ucd | char | | meta.ucd | Char.SpectralAxis.ucd | UCD of the spectral axis
    o_ucd | char | | meta.ucd | Char.ObservableAxis.ucd | UCDs of what was measured of each event, separated by #
    pol_states | char | | meta.code;phys.polarization | Char.PolarizationAxis.stateList | Polarization states
    pol_xel | long | | meta.number | Char.PolarizationAxis.numBins | Polarization states, number; -1: there are none
    facility_name | unicodeChar | | meta.id;instr.tel | Provenance.ObsConfig.Facility.name | Observatory
    instrument_name | unicodeChar | | meta.id;instr | Provenance.ObsConfig.Instrument.name | Instrument
    obs_creator_name | unicodeChar | | meta.id | DataID.Creator | Who made it
    bib_reference | char | | meta.bib.bibcode | Curation.Reference | Publication to cite: a DOI
    data_rights | char | | meta.code | Curation.Rights | Who may have it: public
"""

_HEA: Final = """
    obs_publisher_did | char | | meta.ref.ivoid | Curation.PublisherDID | \
Identifier of the data set, as in ivoa.obscore
    ev_xel | long | | meta.number;instr.detection;phys.particle | | Number of events
    s_ref_energy | double | eV | meta.ref;em.energy;pos | | Energy at which s_fov, s_region and s_resolution hold
    em_ref_energy | double | eV | meta.ref;em.energy;em | | Energy at which em_res_power holds
    s_ref_oaa | double | deg | pos.posAng;instr.offset;pos | | \
Off-axis angle at which s_fov, s_region and s_resolution hold
    em_ref_oaa | double | deg | pos.posAng;instr.offset;em | | Off-axis angle at which em_res_power holds
    t_intervals | char | | time.interval;obs.exposure | | \
Times of observation, a time MOC; where the publisher gives none, cells of time with events
    energy_min | double | eV | em.energy;stat.min | | Smallest energy
    energy_max | double | eV | em.energy;stat.max | | Largest energy
    obs_mode | char | | meta.code;obs.param | | Mode of observation
    tracking_mode | char | | meta.code;obs.param | | How the sky was followed
    scan_mode | char | | meta.code;obs.param | | How the sky was scanned
    pointing_mode | char | | meta.code;obs.param | | How telescopes were pointed relative to each other
    analysis_mode | char | | meta.code;obs.param | | How events were reconstructed and selected
    event_type | char | | meta.code.qual;instr.detection;phys.particle | | Quality of the events
    messenger_name | char | | meta.id;phys.particle | | Messenger particle: photon, neutrino, cosmic-ray
    messenger_pdgid | char | | meta.ref.pdgid;phys.particle | | Its number with the Particle Data Group, with sign
"""


_PRINCIPAL: Final = frozenset(
    (
        "dataproduct_type calib_level obs_collection obs_id obs_publisher_did access_url access_format target_name s_ra"
        " s_dec s_fov t_min t_max em_min em_max facility_name instrument_name ev_xel energy_min energy_max"
        " messenger_name event_type"
    ).split()
)


def _column(line: str) -> Column:
    name, kind, unit, ucd, utype, description = (part.strip() for part in line.split("|"))
    return Column(
        name=name,
        datatype=kind,
        arraysize="*" if kind in ("char", "unicodeChar") else None,
        xtype="moc" if name == "s_region" else None,
        unit=unit or None,
        ucd=ucd,
        utype=f"obscore:{utype}" if utype else None,
        description=description,
        principal=name in _PRINCIPAL,
        std=True,
    )


def _table(name: str, index: int, lines: str, description: str, utype: str | None = None) -> Table:
    columns = tuple(_column(line) for line in lines.strip().splitlines())
    return Table(NAME, name, columns, description=description, utype=utype, table_type="view", table_index=index)


SCHEMA: Final = Schema(
    NAME,
    (
        _table(
            "obscore",
            1,
            _OBSCORE,
            "Event lists and response functions that are published here, one row each, in the words of ObsCore 1.1",
            _TABLE,
        ),
        _table("obscore_hea", 2, _HEA, "What the high-energy extension of ObsCore adds; NATURAL JOIN them"),
    ),
    description="Data sets by what, where, when and at which energies they observed (ObsCore)",
)

KEYS: Final = (
    ForeignKey(
        key_id=f"{NAME}.obscore_hea.obs_publisher_did",
        from_table=f"{NAME}.obscore_hea",
        target_table=f"{NAME}.obscore",
        columns=(("obs_publisher_did", "obs_publisher_did"),),
        description="The data set of which it tells more",
    ),
)
