"""Sources in a process of their own, so that a test can kill it.

python -m tests.support.source_process FILE CONNINFO      reads the sources of a file of alerts into an archive
"""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path

from tests.support.database import SECRET
from vo_service.config import load_settings
from vo_service.database.access import derive_access
from voevent.archive.store import AlertStore
from voevent.configuration import load_alerts_file
from voevent.sources.running import Sources


async def main(file: Path, conninfo: str) -> None:
    """Read until killed."""
    access = derive_access(conninfo, SECRET)
    async with AlertStore(access) as store:
        await Sources(load_settings(authority="org.example"), load_alerts_file(file).sources, store, access).run()


if __name__ == "__main__":
    asyncio.run(main(Path(sys.argv[1]), sys.argv[2]))
