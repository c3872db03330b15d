"""The contract of a kind of job: what a protocol tells the kernel so that its requests can be run later."""

from __future__ import annotations

from typing import Protocol

from vo_service.context import Context
from vo_service.dali.parameters import Parameters
from vo_service.uws.model import Job
from vo_service.uws.results import Output


class JobKind(Protocol):
    """Jobs of a protocol. Those of one kind stand in one list, at one address."""

    @property
    def name(self) -> str:
        """Tells its jobs from others in the table of jobs: "tap"."""
        ...

    @property
    def accumulated(self) -> frozenset[str]:
        """Names, in upper case, of parameters whose values add up when they are posted again; others are replaced."""
        ...

    async def attach(self, parameters: Parameters, attachments: str | None, context: Context) -> str | None:
        """Keep what came with a POST and cannot stay in its parameters, such as files.

        Gets the job's attachments so far (None at first) and gives the new ones, as a text of its own making. Raises
        ServiceErrors, which refuse the POST.
        """
        ...

    async def run(self, job: Job, context: Context, output: Output) -> None:
        """Do the work, in a worker's process. Is cancelled when the job is aborted, deleted, or takes too long.

        Raises ServiceErrors, whose messages become the error of the job.
        """
        ...

    async def discard(self, attachments: str, context: Context) -> None:
        """Give up what `attach` kept, as the job is gone. A repetition does nothing."""
        ...
