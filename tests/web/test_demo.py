"""``dhpe demo`` as a user meets it: the command, its address, the page, the first number, the first alert, the end."""

import re
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
from playwright.sync_api import expect

from web.conftest import OpenPage

pytestmark = [pytest.mark.browser, pytest.mark.timeout(900)]

SPEED = "4"  # the first crash begins after 40 s of event time
COLD_MS = 400_000  # kernels may have to be compiled first
CRASH_MS = 120_000
STOP_S = 20


class Demo:
    """A demo in a process of its own; what it prints is kept."""

    def __init__(self) -> None:
        command = [str(Path(sys.executable).parent / "dhpe"), "demo", "--http-port", "0", "--speed", SPEED]
        self.process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
        self.lines: list[str] = []
        self._spoke = threading.Condition()
        self._reading = threading.Thread(target=self._read)
        self._reading.start()

    def _read(self) -> None:
        for line in self.process.stdout or ():
            with self._spoke:
                self.lines.append(line)
                self._spoke.notify_all()

    def said(self, pattern: str, timeout_s: float) -> re.Match[str]:
        """Wait until a line matches ``pattern``."""
        with self._spoke:
            assert self._spoke.wait_for(lambda: self._found(pattern) or self._dead(), timeout_s), self.lines
            found = self._found(pattern)
        assert found, self.lines
        return found

    def _found(self, pattern: str) -> re.Match[str] | None:
        return next((found for line in self.lines if (found := re.search(pattern, line))), None)

    def _dead(self) -> bool:
        return self.process.poll() is not None

    def end(self) -> int:
        """SIGTERM, as a supervisor does; the exit code."""
        self.process.send_signal(signal.SIGTERM)
        code = self.process.wait(STOP_S)
        self._reading.join(STOP_S)
        if self.process.stdout is not None:
            self.process.stdout.close()
        return code


@pytest.fixture(scope="module")
def demo() -> Iterator[Demo]:
    """One demo for all tests of this module."""
    started = Demo()
    yield started
    if started.process.poll() is None:
        started.end()


@pytest.fixture(scope="module")
def address(demo: Demo) -> str:
    """Where the demo says that it is."""
    return demo.said(r"Open (http://\S+)", 60).group(1)


def test_the_page_opens_at_once_its_numbers_move_and_a_whole_crash_passes(address: str, open_page: OpenPage) -> None:
    """From the first second, while kernels may still be compiled, to the phase transition; a silent console."""
    page = open_page(address)
    number = page.locator("#amplification")
    expect(number).to_have_text(re.compile(r"^\d+\.\d{3}$"), timeout=COLD_MS)
    expect(page.locator("#simulated")).to_be_visible()
    expect(page.locator("#connection")).to_have_text("live")
    first = number.inner_text()
    expect(number).not_to_have_text(first, timeout=30_000)
    expect(page.locator("[data-money=gamma_usd_per_1pct]")).to_have_text(re.compile(r"\d (mn|bn)$"))
    expect(page.locator("#books .value").first).to_have_text(re.compile(r"^\d+\.\d{3} ×$"))
    for change in ("normal → bulldozer", "bulldozer → burnout", "burnout → phase transition"):
        expect(page.locator("#alerts .change", has_text=change).first).to_be_visible(timeout=CRASH_MS)
    page.locator("#alerts button", has_text="normal → bulldozer").first.click()
    assert page.locator(".evidence tbody tr").count() > 5
    expect(page.locator("#engine")).to_have_text(re.compile("dhpe"))


def test_a_telephone_shows_the_running_market_too(address: str, open_page: OpenPage) -> None:
    """The same page, narrow; its alerts, its history and its field are there at once."""
    page = open_page(address, 390, 844, "dark")
    expect(page.locator("#amplification")).to_have_text(re.compile(r"^\d+\.\d{3}$|critical"), timeout=30_000)
    expect(page.locator("#alerts > li").first).to_be_attached()
    page.locator("#landscape").scroll_into_view_if_needed()
    expect(page.locator("#landscape-age")).to_have_text(re.compile(r"^field [0-6]\.\d s old$"), timeout=30_000)
    assert page.evaluate("document.documentElement.scrollWidth") == 390


def test_the_api_answers_what_the_terminal_promises(demo: Demo, address: str) -> None:
    """The printed curl line works, and the metrics count what the engine did."""
    asked = demo.said(r"curl -s (\S+)", 10).group(1)
    demo.said("first amplification", COLD_MS / 1000)
    body = httpx.get(asked).json()
    assert body["simulated"] is True
    assert body["age_s"] < 5
    assert set(body["books"]) == {"naive", "flow", "weighted"}
    assert httpx.get(f"{address}/readyz").status_code == 200
    metrics = httpx.get(f"{address}/metrics").text
    assert re.search(r'dhpe_records_total\{topic="ticks"\} [1-9]', metrics)
    assert re.search(r"dhpe_step_seconds_count [1-9]", metrics)
    assert 'dhpe_quality_state{state="stale",underlying="SIM"} 0.0' in metrics


def test_it_ends_on_sigterm_with_a_summary_although_a_page_is_open(
    demo: Demo, address: str, open_page: OpenPage, said: list[str]
) -> None:
    """Exit 0 within seconds: open streams do not hold the service."""
    page = open_page(address)
    expect(page.locator("#connection")).to_have_text("live")
    assert demo.end() == 0
    demo.said(r"[1-9]\d* records in \d+\.\d s, [1-9]\d* alerts", 5)
    expect(page.locator("#connection")).to_have_text("reconnecting")
    page.close()  # it would go on trying
    said.clear()  # the browser itself reports each refused connection
