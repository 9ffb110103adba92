"""The panel of the dealer field over time: a new field, an old one, none, and nobody who looks."""

import re

import msgspec
import pytest
from playwright.sync_api import Page, Request, expect

from web.conftest import OpenPage
from web.panel import choose, with_field
from web.records import START_NS, alert, field, pressure
from web.service import Service

pytestmark = pytest.mark.browser

PARTS = re.compile(r"/v1/[^/]+/(landscape|field)$")


def test_a_new_field_is_drawn_when_the_stream_tells_of_it(service: Service, open_page: OpenPage) -> None:
    """Nobody reloads, and what was chosen stays chosen."""
    service.put(pressure())
    service.put(field())
    page = with_field(open_page(service.address))
    choose(page, "charm")
    service.put(msgspec.structs.replace(field(ts_event_ns=START_NS + 5_000_000_000), spot=6522.5))
    expect(page.locator("#landscape-levels")).to_contain_text("spot 6,522.50")
    assert page.locator("#landscape-choices input:checked").first.input_value() == "charm"


def test_before_the_first_field_the_panel_waits_and_the_rest_of_the_page_lives(
    service: Service, open_page: OpenPage
) -> None:
    """No question is asked that would be answered with an error; the first field is drawn as it comes."""
    service.put(pressure(0.2))
    page = open_page(service.address)
    expect(page.locator("#amplification")).to_have_text("1.250")
    page.locator("#landscape").scroll_into_view_if_needed()
    expect(page.locator("#landscape-none")).to_contain_text("DHPE_FIELD_INTERVAL_S")
    service.put(field())
    with_field(page)
    expect(page.locator("#landscape-none")).to_be_hidden()


def test_a_field_that_is_not_known_says_why(service: Service, open_page: OpenPage) -> None:
    """Null with its reason in words; numbers go, and come back with the next field."""
    service.put(pressure(0.2))
    service.put(field())
    page = with_field(open_page(service.address))
    service.put(field(known=False, ts_event_ns=START_NS + 1_000_000_000))
    expect(page.locator("#landscape-none")).to_have_text("The field is not known now: spot unknown.")
    expect(page.locator("#landscape-body")).to_be_hidden()
    expect(page.locator("#amplification")).to_have_text("1.250")
    service.put(field(ts_event_ns=START_NS + 2_000_000_000))
    expect(page.locator("#landscape-body")).to_be_visible()


def test_a_field_that_is_too_old_is_withheld(service: Service, open_page: OpenPage) -> None:
    """The page counts the age itself, as it does for the headline."""
    service.put(pressure())
    service.put(field())
    page = open_page("about:blank")
    page.clock.install()
    page.goto(service.address)
    page.clock.run_for(1_000)
    with_field(page)
    expect(page.locator("#landscape-age")).to_have_text(re.compile(r"^field \d+\.\d s old$"))
    page.clock.run_for(31_000)
    expect(page.locator("#landscape-none")).to_contain_text("too old")
    expect(page.locator("#landscape-body")).to_be_hidden()


@pytest.mark.parametrize("status", [404, 503])
def test_a_refusal_is_told_in_the_words_of_the_service(
    service: Service, open_page: OpenPage, said: list[str], status: int
) -> None:
    """The rest of the page goes on; the next field is asked for again."""
    service.put(pressure(0.2))
    page = open_page("about:blank")
    page.route(PARTS, lambda route: route.fulfill(status=status, json={"detail": "There is no field of 'SIM' yet"}))
    page.goto(service.address)
    service.put(field())
    page.locator("#landscape").scroll_into_view_if_needed()
    expect(page.locator("#landscape-none")).to_contain_text("There is no field of 'SIM' yet")
    service.put(alert(1))
    expect(page.locator("#alerts > li")).to_have_count(1)
    page.unroute(PARTS)
    service.put(field(ts_event_ns=START_NS + 1_000_000_000))
    with_field(page)
    assert all(str(status) in line for line in said)
    said.clear()  # the browser itself reports each refusal


def test_a_panel_that_nobody_sees_asks_for_nothing(service: Service, open_page: OpenPage) -> None:
    """Below the screen, or in a hidden tab; it catches up once when it is seen."""
    service.put(pressure())
    service.put(field())
    page = open_page("about:blank", 390, 844)
    asked: list[str] = []

    def count(request: Request) -> None:
        if PARTS.search(request.url):
            asked.append(request.url)

    page.on("request", count)
    page.goto(service.address)
    expect(page.locator("#amplification")).to_have_text(re.compile(r"\d"))
    tell(service, page, 1)
    assert asked == []
    with_field(page)
    assert len(asked) == 2
    page.evaluate("Object.defineProperty(document, 'hidden', { value: true, configurable: true })")
    tell(service, page, 2)
    tell(service, page, 3)
    assert len(asked) == 2
    with page.expect_response(PARTS):
        page.evaluate("delete document.hidden; document.dispatchEvent(new Event('visibilitychange'))")
    expect(page.locator("#landscape-age")).to_have_text(re.compile(r"^field [0-2]\.\d s old"))
    assert len(asked) == 4


def tell(service: Service, page: Page, number: int) -> None:
    """A new field, and an alert behind it: when the alert is shown, the page has heard of the field."""
    service.put(field(ts_event_ns=START_NS + number * 1_000_000_000))
    service.put(alert(number))
    expect(page.locator("#alerts > li")).to_have_count(number)


def test_another_underlying_has_its_own_field_or_none(service: Service, open_page: OpenPage) -> None:
    """What was drawn of the one is never left standing beside the name of the other."""
    service.put(pressure())
    service.put(field())
    service.put(pressure(underlying="GOOG"))
    page = with_field(open_page(f"{service.address}/#SIM"))
    page.get_by_label("Underlying").select_option("GOOG")
    expect(page.locator("#landscape-body")).to_be_hidden()
    expect(page.locator("#landscape-none")).to_contain_text("No field yet")
