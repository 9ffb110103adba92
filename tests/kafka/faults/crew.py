"""Workers as processes of their own (`dhpe run`), and the orchestrator that starts an ended one again."""

import asyncio
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Final, NamedTuple, Self

from dhpe.settings import Settings

RESTART_S: Final = 0.2
"""What an orchestrator takes to see that a process has ended."""
DIES_AT: Final = "DHPE_TEST_DIES_AT"
END_TIMEOUT_S: Final = 60.0
DEATH_TIMEOUT_S: Final = 120.0
JOINED: Final = '"event": "assigned"'


class Exit(NamedTuple):
    """A process that ended without being told to."""

    worker: str
    code: int


class Crew:
    """Workers by name, all on the same ``settings``; their lines go to files in ``folder``.

    With ``static`` each has its name as group instance id, as the ordinals of a StatefulSet. ``mortal`` ones can be
    told to kill themselves between two instructions (see ``dying``).
    """

    def __init__(self, settings: Settings, folder: Path, *, static: bool = True, mortal: bool = False) -> None:
        self._settings = settings
        self._folder = folder
        folder.mkdir(exist_ok=True)
        self._static = static
        self._mortal = mortal
        self._processes: dict[str, subprocess.Popen[bytes]] = {}
        self._dying: set[str] = set()
        self._said_before: dict[str, int] = {}
        self._watch: asyncio.Task[None] | None = None
        self.exits: list[Exit] = []

    @property
    def names(self) -> list[str]:
        """The workers that are kept running."""
        return sorted(self._processes)

    async def __aenter__(self) -> Self:
        """Begin to watch."""
        self._watch = asyncio.create_task(self._keep())
        return self

    async def __aexit__(self, *_: object) -> None:
        """Kill whoever still runs."""
        assert self._watch is not None
        self._watch.cancel()
        await asyncio.wait([self._watch])
        for process in self._processes.values():
            _signal(process, signal.SIGKILL)
            process.wait()

    def hire(self, name: str) -> None:
        """Start a worker and keep it running."""
        self._start(name)

    async def dismiss(self, name: str) -> None:
        """SIGTERM; it drains and ends for good, successfully (or by the signal, where it was still loading)."""
        process = self._processes.pop(name)
        _signal(process, signal.SIGTERM)
        code = await asyncio.to_thread(process.wait, END_TIMEOUT_S)
        assert code in (0, -signal.SIGTERM), f"{name} ended with {code}: {self.said(name)}"

    async def fire(self, name: str) -> None:
        """SIGKILL, and no other takes its place."""
        process = self._processes.pop(name)
        _signal(process, signal.SIGKILL)
        await asyncio.to_thread(process.wait, END_TIMEOUT_S)

    async def terminate(self, name: str) -> None:
        """SIGTERM to a worker that is then started again: a rolling restart."""
        await self.dismiss(name)
        self._start(name)

    async def kill(self, name: str) -> None:
        """SIGKILL to a worker that is then started again."""
        await self.fire(name)
        await asyncio.sleep(RESTART_S)
        self._start(name)

    async def die(self, name: str, dies_at: str, *, at_start: bool) -> bool:
        """Let a worker kill itself at that point, of its work or of its next start; then start it again.

        Returns whether it came to that point at all.
        """
        self._dying.add(name)
        self._death(name).write_text(dies_at)
        if at_start:
            await self.kill(name)
        else:
            self._processes[name].send_signal(signal.SIGUSR1)
        process = self._processes[name]
        try:
            async with asyncio.timeout(DEATH_TIMEOUT_S):
                while process.poll() is None:  # noqa: ASYNC110 - a process has no event
                    await asyncio.sleep(0.05)
        except TimeoutError:
            self._death(name).unlink(missing_ok=True)
            self._dying.discard(name)
            return False
        assert process.returncode == -signal.SIGKILL, f"{name} ({process.returncode}): {self.said(name)}"
        await asyncio.sleep(RESTART_S)
        self._start(name)
        self._dying.discard(name)
        return True

    def double(self, name: str) -> str:
        """Start a second process with the identity of ``name``; returns what it is called here."""
        other = f"{name}-twin"
        self._start(other, identity=name)
        return other

    def pause(self, name: str) -> None:
        """SIGSTOP."""
        _signal(self._processes[name], signal.SIGSTOP)

    def resume(self, name: str) -> None:
        """SIGCONT."""
        _signal(self._processes[name], signal.SIGCONT)

    def pid(self, name: str) -> int:
        """The process id."""
        return self._processes[name].pid

    def said(self, name: str) -> str:
        """All that a worker has written, in all its lives."""
        return self._file(name).read_text(errors="replace")

    def joined(self) -> bool:
        """Whether every worker that runs now has been given its partitions."""
        return all(JOINED in self.said(name)[self._said_before[name] :] for name in self.names)

    def _start(self, name: str, *, identity: str | None = None) -> None:
        chosen = self._settings.model_dump(exclude_unset=True) | {"http_port": 0, "log_format": "json"}
        if self._static:
            chosen["kafka_group_instance_id"] = identity or name
        environment = os.environ | {f"DHPE_{key.upper()}": str(value) for key, value in chosen.items()}
        command = [sys.executable, "-m", "dhpe", "run"]
        if self._mortal:
            environment[DIES_AT] = str(self._death(name))
            command = [sys.executable, str(Path(__file__).with_name("dying.py")), "run"]
        with self._file(name).open("ab") as output:
            self._said_before[name] = len(self.said(name))
            self._processes[name] = subprocess.Popen(command, stdout=output, stderr=subprocess.STDOUT, env=environment)

    async def _keep(self) -> None:
        while True:
            await asyncio.sleep(RESTART_S)
            for name, process in list(self._processes.items()):
                code = process.poll()
                if code is not None and name not in self._dying:
                    self.exits.append(Exit(name, code))
                    self._start(name)

    def _file(self, name: str) -> Path:
        return self._folder / f"{name}.log"

    def _death(self, name: str) -> Path:
        return self._folder / f"{name}.dies"


def _signal(process: "subprocess.Popen[bytes]", number: int) -> None:
    if process.poll() is None:
        process.send_signal(number)
