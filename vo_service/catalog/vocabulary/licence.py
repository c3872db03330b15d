"""Licences that data and software come under, as the SPDX licence list (spdx.org/licenses, 3.27) calls them."""

from __future__ import annotations

from typing import Final

_IDENTIFIERS: Final = """
    CC0-1.0 CC-PDDC CC-PDM-1.0
    CC-BY-1.0 CC-BY-2.0 CC-BY-2.5 CC-BY-3.0 CC-BY-3.0-IGO CC-BY-4.0
    CC-BY-SA-1.0 CC-BY-SA-2.0 CC-BY-SA-2.5 CC-BY-SA-3.0 CC-BY-SA-3.0-IGO CC-BY-SA-4.0
    CC-BY-NC-1.0 CC-BY-NC-2.0 CC-BY-NC-2.5 CC-BY-NC-3.0 CC-BY-NC-4.0
    CC-BY-ND-1.0 CC-BY-ND-2.0 CC-BY-ND-2.5 CC-BY-ND-3.0 CC-BY-ND-4.0
    CC-BY-NC-SA-1.0 CC-BY-NC-SA-2.0 CC-BY-NC-SA-2.5 CC-BY-NC-SA-3.0 CC-BY-NC-SA-3.0-IGO CC-BY-NC-SA-4.0
    CC-BY-NC-ND-1.0 CC-BY-NC-ND-2.0 CC-BY-NC-ND-2.5 CC-BY-NC-ND-3.0 CC-BY-NC-ND-3.0-IGO CC-BY-NC-ND-4.0
    PDDL-1.0 ODbL-1.0 ODC-By-1.0 CDLA-Permissive-1.0 CDLA-Permissive-2.0 CDLA-Sharing-1.0
    etalab-2.0 DL-DE-BY-2.0 DL-DE-ZERO-2.0 OGL-UK-1.0 OGL-UK-2.0 OGL-UK-3.0 OGL-Canada-2.0
    Apache-2.0 MIT BSD-2-Clause BSD-3-Clause ISC Zlib Unlicense MPL-2.0 EPL-2.0 EUPL-1.1 EUPL-1.2
    GPL-2.0-only GPL-2.0-or-later GPL-3.0-only GPL-3.0-or-later
    LGPL-2.1-only LGPL-2.1-or-later LGPL-3.0-only LGPL-3.0-or-later AGPL-3.0-only AGPL-3.0-or-later
    CECILL-2.1 CECILL-B CECILL-C
"""

SPDX: Final = {name.lower(): name for name in _IDENTIFIERS.split()}
"""Identifiers, by themselves in lower case: they are matched without regard to case (SPDX 2.3, annex D.2)."""


def spdx_licence(text: str) -> str | None:
    """The SPDX identifier that a text is, as SPDX writes it; None if it is none of these."""
    return SPDX.get(text.strip().lower())
