"""A real chromium, driven by Playwright; a page that says anything on its console fails the test."""

import shutil
from collections.abc import Callable, Iterator

import pytest
from deploy.picture.picture import CHROMIUM
from playwright.sync_api import Browser, Page, sync_playwright

from web.service import Service

OpenPage = Callable[..., Page]


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    """Debian's chromium. No longer than a module: Playwright keeps an event loop running, in which no other starts."""
    program = shutil.which("chromium")
    assert program, "install chromium (make setup does, on Debian as root)"
    with sync_playwright() as playwright:
        started = playwright.chromium.launch(executable_path=program, args=CHROMIUM)
        yield started
        started.close()


@pytest.fixture
def said() -> list[str]:
    """Errors and warnings of the pages, in order; a test that expects some clears them."""
    return []


@pytest.fixture
def open_page(browser: Browser, said: list[str]) -> Iterator[OpenPage]:
    """Opens an address at a size and colour scheme; fails at the end where the page complained."""
    contexts = []

    def open_at(address: str, width: int = 1360, height: int = 1000, scheme: str = "light") -> Page:
        context = browser.new_context(
            viewport={"width": width, "height": height},
            color_scheme=scheme,  # type: ignore[arg-type]
        )
        contexts.append(context)
        page = context.new_page()
        page.on("console", lambda message: said.append(message.text) if message.type in {"error", "warning"} else None)
        page.on("pageerror", lambda error: said.append(str(error)))
        page.goto(address)
        return page

    yield open_at
    for context in contexts:
        context.close()
    assert said == []


@pytest.fixture
def service() -> Iterator[Service]:
    """A running service without data."""
    with Service().serve() as running:
        yield running
