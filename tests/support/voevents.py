"""Packets of VOEvent for tests."""

from __future__ import annotations

TEMPLATE = """<?xml version="1.0" encoding="UTF-8"?>
<voe:VOEvent xmlns:voe="http://www.ivoa.net/xml/VOEvent/v2.0" xmlns:xsi="http://www.w3.org/2001/XMLSchema-instance"
 xsi:schemaLocation="http://www.ivoa.net/xml/VOEvent/v2.0 http://www.ivoa.net/xml/VOEvent/VOEvent-v2.0.xsd"
 version="2.0" role="{role}" ivorn="{ivoid}">
 <Who><AuthorIVORN>ivo://org.example/author</AuthorIVORN><Date>2026-11-21T10:00:00</Date>
  <Author><contactName>A. Author</contactName></Author></Who>
 <What><Param name="FAR" value="2.0" unit="yr^-1"/><Group name="energy"><Param name="E" value="{energy}" unit="TeV"
  ucd="em.energy"/></Group></What>
 <WhereWhen><ObsDataLocation><ObservatoryLocation id="KM3NeT"/><ObservationLocation>
  <AstroCoordSystem id="UTC-ICRS-TOPO"/><AstroCoords coord_system_id="UTC-ICRS-TOPO">
   <Time unit="s"><TimeInstant><ISOTime>2026-11-21T09:59:30.5</ISOTime></TimeInstant></Time>
   <Position2D unit="deg"><Name1>RA</Name1><Name2>Dec</Name2><Value2><C1>{ra}</C1><C2>{dec}</C2></Value2>
    <Error2Radius>0.5</Error2Radius></Position2D></AstroCoords></ObservationLocation></ObsDataLocation></WhereWhen>
 {citations}
</voe:VOEvent>
"""


def packet(
    ivoid: str,
    *,
    role: str = "test",
    ra: float = 77.36,
    dec: float = 5.69,
    energy: float = 120.0,
    cites: tuple[str, str] | None = None,
) -> bytes:
    """A packet of VOEvent 2.0; `cites` is an identifier and what it is to this packet."""
    citations = f'<Citations><EventIVORN cite="{cites[1]}">{cites[0]}</EventIVORN></Citations>' if cites else ""
    text = TEMPLATE.format(ivoid=ivoid, role=role, ra=ra, dec=dec, energy=energy, citations=citations)
    return text.encode()
