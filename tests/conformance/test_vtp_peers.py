"""The broker and the VTP software that observatories run: Comet as author, subscriber and upstream broker, pygcn as
subscriber. Their own programs, over real sockets."""

from __future__ import annotations

import asyncio
import socket
import subprocess
import sys
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path

from tests.support.vtp import Archive, broker, event, eventually, submit, subscribed

PROGRAMS = Path(sys.executable).parent

PYGCN = """
import pathlib, sys
import gcn
def save(payload, root):
    path = pathlib.Path(sys.argv[2]) / root.get("ivorn").rpartition("#")[2]
    path.with_suffix(".part").write_bytes(payload)
    path.with_suffix(".part").rename(path)
gcn.listen(host="127.0.0.1", port=int(sys.argv[1]), ivorn="ivo://org.example/pygcn", handler=save)
"""


def free_ports(count: int) -> list[int]:
    """Ports for programs that cannot be told to take any free one."""
    sockets = [socket.create_server(("127.0.0.1", 0)) for _ in range(count)]
    try:
        return [listener.getsockname()[1] for listener in sockets]
    finally:
        for listener in sockets:
            listener.close()


@asynccontextmanager
async def program(directory: Path, *command: str) -> AsyncIterator[asyncio.subprocess.Process]:
    """A program that runs while the block does; what it says goes into a file."""
    with (directory / "log").open("wb") as log:
        process = await asyncio.create_subprocess_exec(
            *command, cwd=directory, stdout=log, stderr=subprocess.STDOUT, stdin=subprocess.DEVNULL
        )
    try:
        yield process
    finally:
        if process.returncode is None:
            process.terminate()
        await process.wait()


def comet(directory: Path, *options: str) -> Sequence[str]:
    """The command for a Comet broker with its files in a directory."""
    pid = f"--pidfile={directory / 'twistd.pid'}"
    common = ("--local-ivo=ivo://org.example/comet", f"--eventdb={directory}", "--broadcast-test-interval=0", "-v")
    return (str(PROGRAMS / "twistd"), "--nodaemon", pid, "comet", *common, *options)


async def comet_sendvo(port: int, path: Path) -> int:
    """Comet's author; its exit status is 0 if the broker has acknowledged."""
    process = await asyncio.create_subprocess_exec(
        str(PROGRAMS / "comet-sendvo"), "--host=127.0.0.1", f"--port={port}", f"--file={path}",
        stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
    )  # fmt: skip
    return await process.wait()


async def listening(port: int) -> None:
    async with asyncio.timeout(30):
        while True:
            try:
                _, writer = await asyncio.open_connection("127.0.0.1", port)
            except ConnectionError:
                await asyncio.sleep(0.05)
            else:
                writer.close()
                return


async def test_comet_as_author(tmp_path: Path) -> None:
    archive = Archive()
    path = tmp_path / "event.xml"
    path.write_bytes(event("1"))
    async with broker(archive) as running, subscribed(running.subscriber_port) as peer:
        assert await comet_sendvo(running.author_port, path) == 0
        assert await peer.receive() == event("1")
        assert await comet_sendvo(running.author_port, path) != 0, "a duplicate gets a nak"
    assert len(archive.events) == 1


async def test_comet_as_subscriber(tmp_path: Path) -> None:
    archive = Archive()
    saved = tmp_path / "saved"
    saved.mkdir()
    async with broker(archive, voevent_alive_interval=0.5) as running:
        remote = f"--remote=127.0.0.1:{running.subscriber_port}"
        filters = '--filter=//Param[@name="energy" and @value>50]'
        save = ("--save-event", f"--save-event-directory={saved}")
        async with program(tmp_path, *comet(tmp_path, remote, filters, *save)):
            await eventually(lambda: any(state.filters for state in running.state().subscribers))
            for name, energy in (("1", 100), ("2", 10), ("3", 51)):
                await submit(running.author_port, event(name, energy=energy))
            await eventually(lambda: len(list(saved.iterdir())) == 2)
            await eventually(lambda: [state.acknowledged for state in running.state().subscribers] == [2])
            # It answers iamalive: else it would be cut off after the third.
            await asyncio.sleep(2.5)
            state = running.state()
            assert state.dropped == {}
            assert state.subscribers[0].ivoid == "ivo://org.example/comet"
    # Comet ends its files as it likes: the XML is the same.
    assert sorted(path.read_bytes().strip() for path in saved.iterdir()) == sorted(
        [event("1", energy=100), event("3", energy=51)]
    )


async def test_comet_as_upstream_broker(tmp_path: Path) -> None:
    archive = Archive()
    author_port, subscriber_port = free_ports(2)
    path = tmp_path / "event.xml"
    ports = (f"--receive-port={author_port}", f"--broadcast-port={subscriber_port}")
    async with program(tmp_path, *comet(tmp_path, "--receive", "--broadcast", *ports)):
        await listening(subscriber_port)
        async with (
            broker(archive, voevent_upstreams=f"127.0.0.1:{subscriber_port}") as running,
            subscribed(running.subscriber_port) as peer,
        ):
            await eventually(lambda: running.state().upstreams[0].connected)
            for name in "12":
                path.write_bytes(event(name))
                # Comet begins to broadcast when it has seen the subscriber; events before that are not for us.
                assert await comet_sendvo(author_port, path) == 0
                assert await peer.receive() == event(name)
            assert running.state().upstreams[0].counts["accepted"] == 2
    assert [source.kind for source in archive.sources] == ["stream"] * 2
    assert "Ack received" in (tmp_path / "log").read_text()


async def test_pygcn_as_subscriber(tmp_path: Path) -> None:
    archive = Archive()
    saved = tmp_path / "saved"
    saved.mkdir()
    async with broker(archive, voevent_alive_interval=0.5) as running:
        command = (sys.executable, "-c", PYGCN, str(running.subscriber_port), str(saved))
        async with program(tmp_path, *command):
            await eventually(lambda: len(running.state().subscribers) == 1)
            for name in "12":
                await submit(running.author_port, event(name))
            await eventually(lambda: sorted(path.name for path in saved.iterdir()) == ["1", "2"])
            await eventually(lambda: running.state().subscribers[0].acknowledged == 2)
            await asyncio.sleep(2.5)
            assert running.state().dropped == {}
    assert [(saved / name).read_bytes() for name in "12"] == [event(name) for name in "12"]
