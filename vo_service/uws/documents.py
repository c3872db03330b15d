"""The XML documents of UWS 1.1: a job, its parts, the list of jobs. Judged by the schema UWS-v1.1.xsd."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, datetime

from lxml import etree

from vo_service.uws.model import Job, JobReference
from vo_service.vosi.documents import legal, serialise

_UWS = "http://www.ivoa.net/xml/UWS/v1.0"
_XLINK = "http://www.w3.org/1999/xlink"
_XSI = "http://www.w3.org/2001/XMLSchema-instance"
_NAMESPACES = {"uws": _UWS, "xlink": _XLINK, "xsi": _XSI}

Element = etree._Element


def job_document(job: Job, url: str) -> bytes:
    """A job (UWS 1.1, section 2.2.2.3); `url` is its address."""
    root = _root("job")
    root.set("version", "1.1")
    _add(root, "jobId", job.id)
    if job.run_id is not None:
        _add(root, "runId", job.run_id)
    _add_nillable(root, "ownerId", None)
    _add(root, "phase", job.phase)
    _add_nillable(root, "quote", None)
    _add(root, "creationTime", iso(job.created))
    _add_nillable(root, "startTime", _iso_if_any(job.started))
    _add_nillable(root, "endTime", _iso_if_any(job.ended))
    _add(root, "executionDuration", str(job.execution_seconds))
    _add(root, "destruction", iso(job.destruction))
    _fill_parameters(_add(root, "parameters"), job)
    _fill_results(_add(root, "results"), job, url)
    if job.error is not None:
        summary = _add(root, "errorSummary")
        summary.set("type", "fatal")
        summary.set("hasDetail", "true")
        _add(summary, "message", job.error)
    _add_info(root, job)
    return serialise(root)


def jobs_document(jobs: Iterable[JobReference], url: str) -> bytes:
    """The list of jobs at the address `url` (UWS 1.1, section 2.2.2.1)."""
    root = _root("jobs")
    root.set("version", "1.1")
    for job in jobs:
        reference = _add(root, "jobref")
        reference.set("id", job.id)
        _link(reference, f"{url}/{job.id}")
        _add(reference, "phase", job.phase)
        if job.run_id is not None:
            _add(reference, "runId", job.run_id)
        _add_nillable(reference, "ownerId", None)
        _add(reference, "creationTime", iso(job.created))
    return serialise(root)


def parameters_document(job: Job) -> bytes:
    """The parameters of a job alone."""
    root = _root("parameters")
    _fill_parameters(root, job)
    return serialise(root)


def results_document(job: Job, url: str) -> bytes:
    """The results of the job at the address `url` alone."""
    root = _root("results")
    _fill_results(root, job, url)
    return serialise(root)


def iso(time: datetime) -> str:
    """A time in UTC, as UWS writes it: with a Z at its end."""
    return time.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")


def _iso_if_any(time: datetime | None) -> str | None:
    return None if time is None else iso(time)


def _fill_parameters(parameters: Element, job: Job) -> None:
    for name, value in job.parameters:
        _add(parameters, "parameter", value).set("id", legal(name))


def _fill_results(results: Element, job: Job, url: str) -> None:
    for result in job.results:
        element = _add(results, "result")
        element.set("id", result.name)
        _link(element, f"{url}/results/{result.name}")
        element.set("size", str(result.size))
        element.set("mime-type", result.media_type)


def _add_info(root: Element, job: Job) -> None:
    """How the job is getting on: of no standard, for whoever reads it (UWS 1.1, section 2.1.11)."""
    info = _add(root, "jobInfo")
    if job.jobs_ahead is not None:
        _add_plain(info, "jobsAhead", job.jobs_ahead)
    if job.started is not None:
        elapsed = (job.ended or datetime.now(UTC)) - job.started
        _add_plain(info, "elapsed", f"{elapsed.total_seconds():.3f}").set("unit", "s")
        _add_plain(info, "attempt", job.attempt)
    if job.rows is not None:
        _add_plain(info, "rowsWritten", job.rows)


def _root(name: str) -> Element:
    return etree.Element(f"{{{_UWS}}}{name}", nsmap=_NAMESPACES)


def _add(parent: Element, name: str, text: str | None = None) -> Element:
    element = etree.SubElement(parent, f"{{{_UWS}}}{name}")
    if text is not None:
        element.text = legal(text)
    return element


def _add_plain(parent: Element, name: str, text: object) -> Element:
    """An element of ours, in no namespace."""
    element = etree.SubElement(parent, name)
    element.text = str(text)
    return element


def _add_nillable(parent: Element, name: str, text: str | None) -> None:
    """An element that the schema asks for also where there is nothing to say."""
    element = _add(parent, name, text)
    if text is None:
        element.set(f"{{{_XSI}}}nil", "true")


def _link(element: Element, url: str) -> None:
    element.set(f"{{{_XLINK}}}type", "simple")
    element.set(f"{{{_XLINK}}}href", url)
