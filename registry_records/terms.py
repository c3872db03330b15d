"""Words of publishers in the forms that registries ask for: licences, subjects, dates, DOIs, ORCID iDs, messengers."""

from __future__ import annotations

import re
from datetime import date
from urllib.parse import quote

from vo_service.catalog.model import Resource
from vo_service.catalog.vocabulary.licence import spdx_licence


def licence_uri(resource: Resource) -> str | None:
    """The SPDX address of the licence, which VOResource 1.2 (section 3.3) asks for; else the one that was given."""
    spdx = spdx_identifier(resource)
    return f"https://spdx.org/licenses/{spdx}.html" if spdx else resource.license_url


def spdx_identifier(resource: Resource) -> str | None:
    """The licence as SPDX writes it, if SPDX knows it."""
    return spdx_licence(resource.license) if resource.license else None


def uat_term(subject: str) -> str:
    """A concept of the Unified Astronomy Thesaurus as the IVOA writes it: `Neutrino astronomy`, neutrino-astronomy."""
    return re.sub(r"[\s_/]+", "-", subject.strip()).lower()


def full_date(text: str | None) -> str | None:
    """A date of a description as VOResource has it, with month and day; None if it is no date.

    Of a date without them it is the first day: `xs:date` knows no others.
    """
    if text is None:
        return None
    parts = text.split("-")
    try:
        return date(*(int(part) for part in (*parts, "1", "1")[:3])).isoformat()
    except ValueError:
        return None


def doi_uri(doi: str) -> str:
    """A DOI as a URI (VOResource 1.2, section 3.1.1)."""
    return "doi:" + quote(doi.removeprefix("doi:"), safe="/:;().,-_~+")


def orcid_uri(orcid: str) -> str:
    """An ORCID iD as a URI."""
    return orcid if orcid.startswith("http") else f"https://orcid.org/{orcid}"
