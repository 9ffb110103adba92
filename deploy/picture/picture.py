"""docs/picture.png: the page of a running ``dhpe demo``, taken when its simulated market has lived through a crash."""

import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from playwright.sync_api import Page, expect, sync_playwright

PROJECT = Path(__file__).resolve().parents[2]
PICTURE = PROJECT / "docs" / "picture.png"
SPEED = "2"
PATIENCE_MS = 300_000
AFTERWARDS_MS = 3_000
WIDTH, HEIGHT = 1320, 2020
CHROMIUM = [
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]


@contextmanager
def demo() -> Iterator[str]:
    """The address of a demo that runs until the end of the block."""
    command = [str(Path(sys.executable).parent / "dhpe"), "demo", "--http-port", "0", "--speed", SPEED]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=PROJECT)
    try:
        for line in process.stdout or ():
            found = re.search(r"Open (http://\S+)", line)
            if found:
                yield found.group(1)
                break
        else:
            raise SystemExit("dhpe demo ended without an address; what it said stands above")
    finally:
        process.terminate()
        process.wait(30)


def take(page: Page, address: str) -> None:
    """Wait for the whole crash, then for a moment with a known amplification, and take the picture."""
    page.goto(address)
    turned = page.locator("#alerts .change", has_text="→ phase transition").first
    turned.wait_for(timeout=PATIENCE_MS)
    expect(page.locator("#amplification")).to_have_text(re.compile(r"\d"), timeout=60_000)
    page.locator("#landscape-body").wait_for(timeout=60_000)
    page.wait_for_timeout(AFTERWARDS_MS)
    page.screenshot(path=PICTURE)


def main() -> None:
    """Start both, take the picture, end both."""
    program = shutil.which("chromium")
    if program is None:
        raise SystemExit("chromium is not installed; make picture installs it on Debian as root")
    PICTURE.parent.mkdir(exist_ok=True)
    with demo() as address, sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=program, args=CHROMIUM)
        take(browser.new_page(viewport={"width": WIDTH, "height": HEIGHT}), address)
        browser.close()
    print(f"{PICTURE.relative_to(PROJECT)}: {PICTURE.stat().st_size / 1024:.0f} KiB")


if __name__ == "__main__":
    main()
