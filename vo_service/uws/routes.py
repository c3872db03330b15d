"""The addresses of jobs (UWS 1.1, section 2.2), for any protocol at any path.

    PATH                      list; POST makes a job
    PATH/ID                   the job; POST changes it, DELETE ends it
    PATH/ID/phase ...         its parts: phase, executionduration, destruction, quote, owner, error, parameters
    PATH/ID/results[/NAME]    its results

Every POST and DELETE that succeeds answers 303. A list shows the jobs that were made from the client's own address:
there is no login, the addresses of jobs cannot be guessed, and who knows one may do with the job what its maker may.
"""

from __future__ import annotations

import asyncio
import hmac
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from datetime import UTC, datetime, timedelta

from starlette.requests import Request
from starlette.responses import PlainTextResponse, RedirectResponse, Response
from starlette.routing import BaseRoute

from vo_service.context import Context
from vo_service.dali.answer import unless_disconnected
from vo_service.dali.endpoints import READ, READ_OR_POST, base_url, endpoint, xml
from vo_service.dali.errors import VOTABLE
from vo_service.dali.parameters import Parameters, read_parameters
from vo_service.dali.quota import client_of
from vo_service.errors import NotFoundError, TooManyRequestsError, UsageError
from vo_service.formats.votable import error_document
from vo_service.uws.documents import iso, job_document, jobs_document, parameters_document, results_document
from vo_service.uws.download import download
from vo_service.uws.kind import JobKind
from vo_service.uws.model import Job
from vo_service.uws.phases import ACTIVE, ENDED, Phase
from vo_service.uws.request import JobRequest, Wait, read_job_request, read_list_request, read_wait

RETRY_AFTER = 600
"""Seconds after which a client with too many jobs is told to try again."""

SETTLE_SECONDS = 0.25
"""Seconds that a request which waits for a job in the queue also waits for the job itself: many take no longer, and a
client that is told of each phase sleeps in between."""

Reader = Callable[[Request, Job], Awaitable[Response]]

_READ_ONLY = ""
"""In the place of the parameter that changes a part: nothing does."""


def job_routes(path: str, kind: JobKind, context: Context) -> Sequence[BaseRoute]:
    """The addresses of the jobs of a kind; `path` is that of their list, such as "/tap/async"."""
    site = _Jobs(path, kind, context)
    parts = {
        "phase": (site.text(lambda job: job.phase), "PHASE"),
        "executionduration": (site.text(lambda job: str(job.execution_seconds)), "EXECUTIONDURATION"),
        "destruction": (site.text(lambda job: iso(job.destruction)), "DESTRUCTION"),
        "parameters": (site.xml(lambda job, _: parameters_document(job)), None),
        # What is not known is an empty text.
        "quote": (site.text(lambda _: ""), _READ_ONLY),
        "owner": (site.text(lambda _: ""), _READ_ONLY),
        "error": (site.error, _READ_ONLY),
        "results": (site.xml(results_document), _READ_ONLY),
    }
    return [
        endpoint(path, site.list_or_create, READ_OR_POST),
        endpoint(f"{path}/{{id}}", site.job, (*READ_OR_POST, "DELETE")),
        *(site.part(name, reader, changes) for name, (reader, changes) in parts.items()),
        endpoint(f"{path}/{{id}}/results/{{name}}", site.result, READ),
    ]


class _Jobs:
    """The jobs of one kind."""

    def __init__(self, path: str, kind: JobKind, context: Context) -> None:
        self._path = path
        self._kind = kind
        self._context = context
        self._settings = context.settings
        self._store = context.jobs.store
        # Addresses of clients are kept as something from which only this service can tell that they are the same.
        self._key = context.database.access.writer.password.encode()

    # The list

    async def list_or_create(self, request: Request) -> Response:
        if request.method == "POST":
            return await self._create(request)
        asked = read_list_request(await read_parameters(request))
        jobs = await self._store.references(
            self._kind.name, self._client(request), phases=asked.phases, after=asked.after, last=asked.last
        )
        return _fresh(xml(jobs_document(jobs, self._url(request))))

    async def _create(self, request: Request) -> Response:
        parameters = await read_parameters(request, file_limit=self._settings.upload_limit_bytes)
        asked = read_job_request(parameters, self._settings)
        if asked.abort or asked.delete:
            raise UsageError("This makes a new job: expected PHASE=RUN, or neither PHASE nor ACTION")
        client = self._client(request)
        if await self._store.count(self._kind.name, client) >= self._settings.jobs_per_client:
            raise TooManyRequestsError(
                f"You have {self._settings.jobs_per_client} jobs, as many as one client may have; delete some",
                retry_after=RETRY_AFTER,
            )
        attachments = await self._attach(request, parameters, None)
        job_id = await self._store.create(
            self._kind.name,
            client,
            asked.parameters,
            execution_seconds=asked.execution_seconds or self._settings.async_timeout,
            destruction=asked.destruction or datetime.now(UTC) + timedelta(seconds=self._settings.job_lifetime),
            run_id=asked.run_id,
            attachments=attachments,
            queued=asked.run,
        )
        return _see(self._url(request, job_id))

    # A job

    async def job(self, request: Request) -> Response:
        job = await self._find(request)
        if request.method == "DELETE":
            return await self._delete(request, job)
        if request.method == "POST":
            return await self._change(request, job, None)
        wait = read_wait(await read_parameters(request))
        if wait.seconds > 0:
            job = await unless_disconnected(request.receive, self._awaited(job.id, wait))
        return _fresh(xml(job_document(job, self._url(request, job.id))))

    async def _awaited(self, job_id: str, wait: Wait) -> Job:
        """The job, when it has left the phase, or the time is over. No connection is held while waiting."""
        clock = asyncio.get_running_loop().time
        end, phase = clock() + wait.seconds, wait.phase
        with self._context.jobs.changes.of(job_id) as changed:
            while True:
                changed.clear()
                job = await self._store.get(self._kind.name, job_id)
                if phase is Phase.QUEUED and job.phase is Phase.EXECUTING:
                    end, phase = min(end, clock() + SETTLE_SECONDS), Phase.EXECUTING
                phase = phase or job.phase
                left = end - clock()
                if job.phase is not phase or phase not in ACTIVE or left <= 0:
                    return job
                await _event_or_time(changed, left)

    async def _change(self, request: Request, job: Job, required: str | None) -> Response:
        parameters = await read_parameters(request, file_limit=self._settings.upload_limit_bytes)
        if required is not None and parameters.one(required) is None:
            raise UsageError(f"{required} is missing")
        asked = read_job_request(parameters, self._settings)
        if asked.delete:
            return await self._delete(request, job)
        await self._change_fields(asked, job)
        if asked.parameters or parameters.files:
            await self._change_parameters(request, parameters, asked, job)
        if asked.run and not await self._store.queue(job.id):
            raise await self._refusal(job, Phase.PENDING)
        if asked.abort:
            # A job that has ended meanwhile stays as it is: its client could not know.
            await self._store.abort(job.id)
        return _see(self._url(request, job.id))

    async def _change_fields(self, asked: JobRequest, job: Job) -> None:
        if asked.run_id is not None or asked.execution_seconds is not None:
            waiting = (Phase.PENDING, Phase.QUEUED)
            if not await self._store.change(
                job.id, within=waiting, run_id=asked.run_id, execution_seconds=asked.execution_seconds
            ):
                raise await self._refusal(job, *waiting)
        if asked.destruction is not None:
            alive = (*ACTIVE, *ENDED)
            if not await self._store.change(job.id, within=alive, destruction=asked.destruction):
                raise await self._refusal(job, *alive)

    async def _change_parameters(self, request: Request, parameters: Parameters, asked: JobRequest, job: Job) -> None:
        """Values of a name that is posted again take the place of the old ones, or add up with them."""
        if job.phase is not Phase.PENDING:
            raise await self._refusal(job, Phase.PENDING)
        replaced = {name.upper() for name, _ in asked.parameters} - self._kind.accumulated
        kept = tuple((name, value) for name, value in job.parameters if name.upper() not in replaced)
        attachments = await self._attach(request, parameters, job.attachments)
        if not await self._store.change(
            job.id, within=[Phase.PENDING], parameters=kept + asked.parameters, attachments=attachments
        ):
            raise await self._refusal(job, Phase.PENDING)

    async def _delete(self, request: Request, job: Job) -> Response:
        await self._store.delete(job.id)
        if job.attachments is not None:
            await self._kind.discard(job.attachments, self._context)
        await self._context.jobs.results.remove(job.id)
        return _see(self._url(request))

    # Its parts

    def part(self, name: str, reader: Reader, changes: str | None) -> BaseRoute:
        """The route of a part; `changes` is the parameter that a POST to it must have, if it takes any."""

        async def handle(request: Request) -> Response:
            job = await self._find(request)
            if request.method == "POST":
                return await self._change(request, job, changes)
            return _fresh(await reader(request, job))

        methods = READ if changes == _READ_ONLY else READ_OR_POST
        return endpoint(f"{self._path}/{{id}}/{name}", handle, methods)

    def text(self, content: Callable[[Job], str]) -> Reader:
        """A part that is plain text."""

        async def read(request: Request, job: Job) -> Response:
            return PlainTextResponse(content(job))

        return read

    def xml(self, document: Callable[[Job, str], bytes]) -> Reader:
        """A part that is XML, made of the job and its address."""

        async def read(request: Request, job: Job) -> Response:
            return xml(document(job, self._url(request, job.id)))

        return read

    async def error(self, request: Request, job: Job) -> Response:
        """Why the job ended, as the document that a synchronous request would have got (DALI 1.1, section 4.2)."""
        if job.error is None:
            raise NotFoundError(f"The job is {job.phase}; it has no error")
        return Response(error_document(job.error), media_type=VOTABLE)

    async def result(self, request: Request) -> Response:
        job = await self._find(request)
        name = request.path_params["name"]
        for result in job.results:
            if result.name == name:
                return await download(request, job, result, self._context.jobs.results.path(result))
        raise NotFoundError(f"The job is {job.phase}; it has no result {name[:60]}")

    # Within

    async def _find(self, request: Request) -> Job:
        return await self._store.get(self._kind.name, request.path_params["id"])

    async def _attach(self, request: Request, parameters: Parameters, attachments: str | None) -> str | None:
        return await unless_disconnected(request.receive, self._kind.attach(parameters, attachments, self._context))

    async def _refusal(self, job: Job, *within: Phase) -> UsageError:
        """What to say of a change that a job's phase does not allow."""
        phase = (await self._store.get(self._kind.name, job.id)).phase
        return UsageError(f"The job is {phase}; this can be done only while it is {' or '.join(within)}")

    def _url(self, request: Request, job_id: str | None = None) -> str:
        address = f"{base_url(request, self._settings)}{self._path}"
        return address if job_id is None else f"{address}/{job_id}"

    def _client(self, request: Request) -> str:
        return hmac.digest(self._key, client_of(request).encode(), "sha256").hex()


def _see(url: str) -> Response:
    return RedirectResponse(url, 303)


def _fresh(response: Response) -> Response:
    """An answer that nobody is to keep: it changes with the job."""
    response.headers["Cache-Control"] = "no-store"
    return response


async def _event_or_time(event: asyncio.Event, seconds: float) -> None:
    """Wait for the event, but not longer than so many seconds."""
    with suppress(TimeoutError):
        async with asyncio.timeout(seconds):
            await event.wait()
