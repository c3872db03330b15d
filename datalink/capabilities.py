"""What the service of links says of itself (DataLink 1.1, section 2.2; SODA 1.0, section 2.3; VOSI 1.1)."""

from __future__ import annotations

from dataclasses import dataclass

from datalink.descriptor import SODA
from vo_service.dali.links import LINKS, LINKS_TYPE
from vo_service.vosi.capabilities import VOTABLE, Capability, add_interface, vosi_capabilities
from vo_service.vosi.documents import Element, add

_LINKS_PARAMETERS = (
    ("ID", "required", "Identifier of a data set or a row; may be repeated", "meta.id;meta.main"),
    ("RESPONSEFORMAT", "optional", "MIME type or short name of the output format", "meta.code.mime"),
    ("MAXREC", "optional", "Links at most", None),
)
_CUTOUT_PARAMETERS = (
    ("ID", "required", "Identifier of a data set or a row", "meta.id;meta.main"),
    ("CIRCLE", "optional", "Right ascension, declination, radius [deg, ICRS]", "pos.outline;obs"),
    ("POLYGON", "optional", "Right ascension and declination [deg, ICRS] of each vertex", "pos.outline;obs"),
    ("TIME", "optional", "Interval of Modified Julian Dates", "time.interval;obs.exposure"),
    ("BAND", "optional", "Interval of wavelengths [m], of photons of the events' energies", "em.wl;stat.interval"),
    ("ENERGY", "optional", "Interval of energies, in the unit of the data set", "phys.energy;stat.interval"),
    ("RESPONSEFORMAT", "optional", "MIME type or short name of the output format", "meta.code.mime"),
    ("MAXREC", "optional", "Events at most", None),
)


@dataclass(frozen=True, slots=True)
class ParameterCapability:
    """A capability that is asked by parameters, over GET and POST."""

    standard_id: str
    url: str
    result_type: str
    parameters: tuple[tuple[str, str, str, str | None], ...]
    """Name, use, description and UCD."""

    def add_to(self, document: Element) -> None:
        capability = add(document, "capability", standardID=self.standard_id)
        interface = add_interface(capability, self.url, use="base")
        for method in ("GET", "POST"):
            add(interface, "queryType", method)
        add(interface, "resultType", self.result_type)
        for name, use, description, ucd in self.parameters:
            parameter = add(interface, "param", std="true" if name != "ENERGY" else "false", use=use)
            add(parameter, "name", name)
            add(parameter, "description", description)
            if ucd:
                add(parameter, "ucd", ucd)
            add(parameter, "dataType", "integer" if name == "MAXREC" else "string", type_="vs:SimpleDataType")


def links_capability(url: str) -> ParameterCapability:
    """The capability of links at `url`."""
    return ParameterCapability(LINKS, url, LINKS_TYPE, _LINKS_PARAMETERS)


def datalink_capabilities(url: str) -> tuple[Capability, ...]:
    """Those of the whole service at `url`."""
    cutout = ParameterCapability(SODA, f"{url}/cutout", VOTABLE, _CUTOUT_PARAMETERS)
    return (links_capability(url), cutout, *vosi_capabilities(url)[:2])
