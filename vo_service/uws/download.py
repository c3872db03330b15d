"""Results over HTTP: with length, ETag and ranges as they are; compressed for clients that read gzip."""

from __future__ import annotations

import asyncio
import re
import zlib
from collections.abc import AsyncIterator
from pathlib import Path

from starlette.requests import Request
from starlette.responses import FileResponse, Response, StreamingResponse

from vo_service.dali.answer import accepts_gzip
from vo_service.errors import NotFoundError
from vo_service.threads import in_thread
from vo_service.uws.model import Job, Result

CHUNK_BYTES = 1_000_000
"""Bytes that are read, compressed and sent at a time. Smaller files are compressed whole: their length is known."""

_COMPRESSIBLE = re.compile(r"text/|application/(json|xml|x-votable\+xml|fits)", re.IGNORECASE)


class _File(FileResponse):
    chunk_size = CHUNK_BYTES


async def download(request: Request, job: Job, result: Result, path: Path) -> Response:
    """The answer with a result of a job. Raises NotFoundError if its file has gone."""
    try:
        status = await asyncio.to_thread(path.stat)
    except FileNotFoundError:
        raise NotFoundError(f"The file of result {result.name} has been removed") from None
    packed = _is_packed(request, result)
    etag = f'"{job.id}-{job.attempt}{"-gzip" if packed else ""}"'
    headers = {
        "Content-Type": result.media_type,
        "Content-Disposition": f'inline; filename="{result.name}{result.extension}"',
        "ETag": etag,
        "Vary": "Accept-Encoding",
    }
    if etag in _tags(request.headers.get("if-none-match", "")):
        return Response(status_code=304, headers={"ETag": etag, "Vary": "Accept-Encoding"})
    if not packed:
        return _File(path, headers=headers, stat_result=status)
    headers["Content-Encoding"] = "gzip"
    if status.st_size > CHUNK_BYTES:
        return StreamingResponse(_compressed(path), headers=headers)
    return Response(b"".join([piece async for piece in _compressed(path)]), headers=headers)


def _is_packed(request: Request, result: Result) -> bool:
    """Whether to compress: not for who asks for ranges or the head, which are of the file as it is."""
    return (
        request.method == "GET"
        and "range" not in request.headers
        and accepts_gzip(request.headers.get("accept-encoding", ""))
        and _COMPRESSIBLE.match(result.media_type) is not None
    )


def _tags(if_none_match: str) -> list[str]:
    """The tags of a header If-None-Match; they are compared weakly (RFC 9110, section 13.1.2)."""
    return [tag.strip().removeprefix("W/") for tag in if_none_match.split(",")]


async def _compressed(path: Path) -> AsyncIterator[bytes]:
    gzip = zlib.compressobj(1, zlib.DEFLATED, 31)
    with path.open("rb") as file:
        while data := await in_thread(lambda: gzip.compress(file.read(CHUNK_BYTES)) if file.peek(1) else b""):
            yield data
    yield gzip.flush()
