"""Documents of the output formats, written in one go."""

from __future__ import annotations

import pyarrow as pa

from vo_service.formats.base import Writer

ENDINGS = ("end", "overflow", "failure")


def written(writer: Writer, *batches: pa.RecordBatch, ending: str = "end", told: int | str = "it broke") -> bytes:
    """All that a writer writes. `told` is what an overflow or failure is to tell: the limit, or the message."""
    try:
        begun = b"".join([writer.start(), *map(writer.batch, batches)])
        return begun + b"".join(writer.end() if ending == "end" else getattr(writer, ending)(told))
    finally:
        writer.close()
