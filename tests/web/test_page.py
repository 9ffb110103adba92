"""The page in a real browser, fed record by record: what a user sees, and when."""

import itertools
import re
import threading
from collections.abc import Iterator
from contextlib import contextmanager

import httpx
import pytest
from playwright.sync_api import Page, expect
from pydantic import SecretStr

from dhpe.settings import Settings
from web.conftest import OpenPage
from web.records import START_NS, alert, calm_then_crash, pressure
from web.records import field as field_record
from web.service import RunningService, Service

pytestmark = pytest.mark.browser

STEP_NS = 100_000_000


@contextmanager
def market(service: Service) -> Iterator[None]:
    """Ten records a second with a changing gain, until the end of the block."""
    over = threading.Event()

    def run() -> None:
        for number in itertools.count():
            if over.wait(0.1):
                return
            service.put(pressure(0.2 + 0.001 * number, ts_event_ns=START_NS + number * STEP_NS))

    running = threading.Thread(target=run)
    running.start()
    yield
    over.set()
    running.join(10)


def field(page: Page, name: str) -> str:
    """What the page shows in the element of this id."""
    return page.locator(f"#{name}").inner_text()


def test_the_headline_shows_the_number_its_band_its_books_and_its_units(service: Service, open_page: OpenPage) -> None:
    """Gain 0.2 is an amplification of 1.25."""
    service.put(pressure(0.2))
    page = open_page(service.address)
    expect(page.locator("#amplification")).to_have_text("1.250")
    assert field(page, "amplification-unit") == "×"
    assert re.fullmatch(r"1\.\d{3} to 1\.\d{3} ×", field(page, "interval"))
    assert field(page, "risk") == "amplifying"
    assert "a shock of 1.00 % into 1.25 %" in field(page, "meaning")
    books = [book.inner_text().split("\n")[:2] for book in page.locator("#books li").all()]
    assert books == [["naive", "1.351 ×"], ["flow", "1.205 ×"], ["weighted", "1.250 ×"]]
    gamma = page.locator("[aria-labelledby=gamma-title] .figure")
    expect(gamma).to_have_text("−2.00 bn USD per 1 % move")
    expect(page.locator("#gauge .big")).to_have_text("0.200")
    expect(page.locator("#impact")).to_have_text("8.00 ± 1.10")
    assert page.title() == "1.25× SIM · DHPE"


def test_numbers_move_and_the_age_ticks(service: Service, open_page: OpenPage) -> None:
    """The page follows the stream without being asked."""
    service.put(pressure(0.2))
    page = open_page(service.address)
    expect(page.locator("#amplification")).to_have_text("1.250")
    expect(page.locator("#connection")).to_have_text("live")
    with market(service):
        expect(page.locator("#amplification")).to_have_text(re.compile(r"1\.2[6-9]"), timeout=10_000)
        expect(page.locator("#amplification")).to_have_text(re.compile(r"1\.3"), timeout=20_000)
    expect(page.locator("#age")).to_have_text(re.compile(r"^[1-9]\.\d s old$"), timeout=10_000)


def test_an_alert_appears_with_its_reason_and_its_evidence_on_a_click(service: Service, open_page: OpenPage) -> None:
    """What changed, why, and the numbers against their thresholds."""
    service.put(pressure())
    page = open_page(service.address)
    expect(page.locator("#alerts-none")).to_be_visible()
    # the stream of the chosen underlying is open: what comes now is news, not past
    expect(page.locator("#amplification")).to_have_text(re.compile(r"\d"))
    service.put(alert(1))
    row = page.get_by_role("button", name="normal → bulldozer")
    expect(row).to_contain_text("Spot falls while vol rises with it")
    expect(page.locator("#announcement")).to_contain_text("Alert: Spot falls")
    row.focus()
    page.keyboard.press("Enter")
    expect(row).to_have_attribute("aria-expanded", "true")
    evidence = [line.inner_text().split("\t") for line in page.locator(".evidence tbody tr").all()]
    assert evidence[0] == ["spot vol correlation", "−0.9300", "−0.8500"]
    assert evidence[3] == ["depth ratio", "—", ""]
    row.click()
    expect(page.locator(".evidence")).to_have_count(0)


def test_the_regime_path_shows_where_the_market_is_and_where_it_was(service: Service, open_page: OpenPage) -> None:
    """A whole crash, read from the history when the page opens."""
    for record in calm_then_crash(400):
        service.put(record)
    page = open_page(service.address)
    expect(page.locator("#path [aria-current=step]")).to_contain_text("phase transition")
    assert page.locator("#path [data-visited=true]").count() == 3
    assert page.locator("#alerts > li").count() == 3
    assert [row.inner_text() for row in page.locator("#alerts .change").all()] == [
        "burnout → phase transition",
        "bulldozer → burnout",
        "normal → bulldozer",
    ]
    drawn = page.evaluate("[...document.querySelectorAll('.u-wrap canvas')].map((c) => c.width * c.height > 0)")
    assert drawn == [True] * 5


def test_a_critical_gain_says_so_and_shows_no_number(service: Service, open_page: OpenPage) -> None:
    """There is no finite amplification to show."""
    service.put(pressure(1.12))
    page = open_page(service.address)
    expect(page.locator("#amplification")).to_have_text("critical")
    expect(page.locator("#amplification-unit")).to_be_hidden()
    expect(page.locator("#meaning")).to_contain_text("at a gain of 1.12 no finite amplification exists")


def test_an_interval_without_upper_end_is_said_to_have_none(service: Service, open_page: OpenPage) -> None:
    """The gain's interval reaches 1."""
    service.put(pressure(0.96))
    page = open_page(service.address)
    expect(page.locator("#amplification")).to_have_text("25.000")
    expect(page.locator("#interval")).to_have_text(re.compile("to ∞ ×$"))


def test_numbers_that_are_too_old_are_withheld_and_come_back(service: Service, open_page: OpenPage) -> None:
    """A dash with the reason, and never the last value."""
    service.put(pressure())
    service.clock.ahead_s = 120.0
    page = open_page(service.address)
    expect(page.locator("#stale")).to_contain_text("No new data for 12")
    expect(page.locator("#amplification")).to_have_text("—")
    expect(page.locator("[data-money=gamma_usd_per_1pct]")).to_have_text("—")
    expect(page.locator("#quality")).to_have_text("stale · 1")
    service.put(pressure(0.5))
    expect(page.locator("#amplification")).to_have_text("2.000")
    expect(page.locator("#stale")).to_be_hidden()


def test_numbers_grow_old_on_a_page_that_hears_nothing(service: Service, open_page: OpenPage) -> None:
    """The page counts the age itself: a silent service is no reason to show old numbers."""
    service.put(pressure())
    page = open_page("about:blank")
    page.clock.install()
    page.goto(service.address)
    page.clock.run_for(1_000)
    expect(page.locator("#amplification")).to_have_text("1.250")
    page.clock.run_for(31_000)
    expect(page.locator("#amplification")).to_have_text("—")
    expect(page.locator("#stale")).to_be_visible()


def test_the_quality_badge_opens_its_reasons_and_escape_closes_them(service: Service, open_page: OpenPage) -> None:
    """By keyboard alone."""
    service.put(pressure(reasons=("beta_unknown", "gain_implausible")))
    page = open_page(service.address)
    badge = page.locator("#quality")
    expect(badge).to_have_text("degraded · 2")
    badge.focus()
    page.keyboard.press("Enter")
    expect(page.locator("#reasons li")).to_have_text(["beta unknown", "gain implausible"])
    expect(badge).to_have_attribute("aria-expanded", "true")
    page.keyboard.press("Escape")
    expect(page.locator("#reasons")).to_be_hidden()


def test_a_simulated_market_says_that_it_is_one_and_a_real_one_does_not(service: Service, open_page: OpenPage) -> None:
    """Choosing the underlying changes everything on the page."""
    service.put(pressure(0.2))
    service.put(pressure(-0.25, underlying="GOOG"))
    page = open_page(f"{service.address}/#SIM")
    expect(page.locator("#simulated")).to_be_visible()
    page.get_by_label("Underlying").select_option("GOOG")
    expect(page.locator("#amplification")).to_have_text("0.800")
    expect(page.locator("#risk")).to_have_text("dampening")
    expect(page.locator("#simulated")).to_be_hidden()
    assert page.url.endswith("#GOOG")


def test_the_page_comes_back_by_itself_when_the_service_does(open_page: OpenPage, said: list[str]) -> None:
    """A restart on the same port; the chart and the alerts of the meantime are caught up."""
    first = Service()
    server = RunningService(first)
    server.__enter__()
    first.put(pressure(0.2))
    page = open_page(first.address)
    expect(page.locator("#amplification")).to_have_text("1.250")
    server.__exit__()
    expect(page.locator("#connection")).to_have_text("reconnecting")
    second = Service()
    second.put(pressure(0.5, ts_event_ns=START_NS + STEP_NS))
    second.put(alert(9))
    with RunningService(second, port=int(first.address.rsplit(":", 1)[1])):
        expect(page.locator("#connection")).to_have_text("live", timeout=20_000)
        expect(page.locator("#amplification")).to_have_text("2.000")
        expect(page.locator("#alerts > li")).to_have_count(1)
        page.close()
    assert all("ERR_CONNECTION" in text or "ERR_INCOMPLETE" in text for text in said), said
    said.clear()  # the browser itself reports every refused connection


@pytest.mark.parametrize(("width", "height"), [(390, 844), (768, 1024), (1360, 1000), (2200, 1200)])
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_the_page_fits_every_width_in_both_schemes(
    service: Service, open_page: OpenPage, width: int, height: int, scheme: str
) -> None:
    """Nothing sticks out to the right, and the headline is in the first screen."""
    for record in calm_then_crash(200):
        service.put(record)
    page = open_page(service.address, width, height, scheme)
    expect(page.locator("#page")).to_have_attribute("aria-busy", "false")
    assert page.evaluate("document.documentElement.scrollWidth") == width
    box = page.locator("#amplification").bounding_box()
    assert box is not None
    assert box["y"] + box["height"] < height
    ink, ground = page.evaluate(
        "[getComputedStyle(document.body).color, getComputedStyle(document.body).backgroundColor]"
    )
    assert (brightness(ink) > brightness(ground)) == (scheme == "dark")


def brightness(colour: str) -> float:
    """The mean of a colour's three channels."""
    return sum(int(channel) for channel in re.findall(r"\d+", colour)[:3]) / 3


def test_the_theme_can_be_chosen_and_is_remembered(service: Service, open_page: OpenPage) -> None:
    """Automatic, light, dark."""
    service.put(pressure())
    page = open_page(service.address)
    button = page.get_by_role("button", name="Colour theme")
    button.click()
    button.click()
    expect(page.locator("html")).to_have_attribute("data-theme", "dark")
    page.reload()
    expect(button).to_have_text("dark")
    expect(page.locator("html")).to_have_attribute("data-theme", "dark")


def test_every_output_and_control_has_a_name_for_those_who_do_not_see_it(service: Service, open_page: OpenPage) -> None:
    """Headings name the sections; pictures and controls have labels; one level-1 heading."""
    service.put(pressure())
    service.put(field_record())
    page = open_page(service.address)
    expect(page.locator("#page")).to_have_attribute("aria-busy", "false")
    page.locator("#landscape").scroll_into_view_if_needed()
    expect(page.locator("#landscape-body")).to_be_visible()
    unnamed = page.evaluate(
        """[...document.querySelectorAll('button, select, a, [role=img], [role=slider]')].filter((element) =>
        !(element.getAttribute('aria-label') || element.textContent.trim())).length"""
    )
    assert unnamed == 0
    assert page.locator("h1").count() == 1
    assert page.locator("main > section:not([aria-labelledby])").count() == 0
    assert page.locator("#gauge").get_attribute("aria-label") == "Feedback gain 0.200, interval 0.12 to 0.28"


def test_before_the_first_record_the_page_waits_and_then_begins(service: Service, open_page: OpenPage) -> None:
    """It needs no reload, and a service that restores is no error."""
    service.health.reason = "partition 0 is restoring"
    page = open_page(service.address)
    expect(page.locator("#connection")).to_have_text("live")
    expect(page.locator("#meaning")).to_have_text("Waiting for the first record.")
    service.health.reason = ""
    service.put(pressure(0.2))
    expect(page.locator("#amplification")).to_have_text("1.250")


def test_a_service_with_a_key_asks_for_it_and_opens(open_page: OpenPage, said: list[str]) -> None:
    """The key lives as long as the tab."""
    with Service(Settings(http_api_key=SecretStr("open sesame"))).serve() as service:
        service.put(pressure(0.2))
        page = open_page(service.address)
        page.get_by_label("This service asks for its key").fill("open sesame")
        page.get_by_role("button", name="Open").click()
        expect(page.locator("#amplification")).to_have_text("1.250")
        expect(page.locator("#key")).to_be_hidden()
    assert len(said) == 1
    assert "401" in said.pop()  # the browser itself reports the first answer


def test_the_api_page_lists_the_paths_without_another_host(service: Service, open_page: OpenPage) -> None:
    """Swagger UI from our own files, under the same policy."""
    page = open_page("about:blank")
    asked: list[str] = []
    page.on("request", lambda request: asked.append(request.url))
    page.goto(f"{service.address}/docs")
    expect(page.locator(".opblock-summary-path").first).to_be_visible(timeout=20_000)
    paths = httpx.get(f"{service.address}/openapi.json").json()["paths"]
    assert page.locator(".opblock").count() == sum(map(len, paths.values()))
    assert all(url.startswith((service.address, "data:")) for url in asked)
