"""The panel of the dealer field in a real browser: what it draws is what the API answers."""

import itertools
import re
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest
from playwright.sync_api import Page, expect

from dhpe.columns import Batch, Reject, empty_batch
from dhpe.edge import formats
from dhpe.edge.feeds import closing_clock, latest_event_ns
from dhpe.engine import Engine
from dhpe.field import copy_of, field_of
from dhpe.field_outputs import Field
from dhpe.outputs import Pressure
from dhpe.settings import Settings
from dhpe.simulate import SimulationSettings, simulate
from web.conftest import OpenPage
from web.panel import COLOURS, choose, colours, with_field
from web.records import START_NS
from web.service import Service

pytestmark = pytest.mark.browser

SETTINGS = Settings(kyle_lambda=1e-14)
FACTORS = {"gamma": 0.01, "vanna": 0.01, "charm": 1 / 525_600}  # what the cards show of the wire's fields
UNITS = {"gamma": "USD per 1\u00a0%\u00a0move", "vanna": "USD per vol point", "charm": "USD per minute"}


def published(name: str, batches: Iterable[Batch]) -> tuple[Pressure, Field]:
    """What the engine says of ``name`` at the end of ``batches``."""
    engine = Engine(SETTINGS.parameters())
    outputs = [output for batch in batches for output in engine.step(empty_batch(), batch).outputs]
    pressures = [output for output in outputs if isinstance(output, Pressure)]
    copy = copy_of(engine.underlyings[name], engine.offsets, engine.engine_version)
    return pressures[-1], field_of(copy, SETTINGS.field_limits())


@pytest.fixture(scope="module")
def simulated() -> tuple[Pressure, Field]:
    """The simulated market after twenty seconds, in which trades have moved the books."""
    market = simulate(SimulationSettings(seed=20_240_805, underlyings=("SIM",)), START_NS)
    return published("SIM", itertools.islice(market, 200))


def evening(path: Path) -> Iterator[Batch]:
    """A day's chain, closed by a clock."""
    last_ns = -1
    for item in formats.read(formats.plan([path])):
        if not isinstance(item, Reject):
            last_ns = latest_event_ns(item, last_ns)
            yield item
    yield closing_clock(last_ns, 100)


@pytest.fixture
def page(service: Service, open_page: OpenPage, simulated: tuple[Pressure, Field]) -> Page:
    """The page of the simulated market, its panel drawn."""
    for record in simulated:
        service.put(record)
    return with_field(open_page(service.address))


def answers(service: Service, name: str) -> tuple[dict[str, Any], dict[str, Any]]:
    """The two answers that the panel is drawn from."""
    with httpx.Client(base_url=service.address) as client:
        return client.get(f"/v1/{name}/landscape").json(), client.get(f"/v1/{name}/field").json()


def table(page: Page, caption: str) -> dict[float, list[float]]:
    """A table of the panel: prices, and what stands in their rows."""
    rows = page.locator("#landscape-numbers table", has_text=caption).evaluate(
        "table => [...table.tBodies[0].rows].map(row => [row.cells[0].textContent,"
        " ...[...row.querySelectorAll('data')].map(data => Number(data.value))])"
    )
    return {float(head.replace(",", "")): values for head, *values in reversed(rows)}


def near(landscape: dict[str, Any], prices: list[float], reach: float) -> list[int]:
    """Places of the prices within ``reach`` of the spot, and within the profile."""
    spot, known = landscape["spot"], landscape["prices"]
    low, high = max(known[0], spot * (1 - reach)), min(known[-1], spot * (1 + reach))
    return [i for i, price in enumerate(prices) if low <= price <= high]


def check_tables(page: Page, landscape: dict[str, Any], at_spot: dict[str, Any], name: str, reach: float) -> None:
    """Every number in the tables, in the unit of the page, is that of the answers."""
    factor, grid, strikes = FACTORS[name], landscape["grid"], at_spot["by_strike"]
    of_book = landscape["profiles"]["weighted"] if name == "gamma" else landscape
    for caption, prices, columns in (
        ("Re-priced profile", landscape["prices"], [of_book[f"{name}_profile{end}"] for end in ("", "_sticky_delta")]),
        ("To the settlement", grid["prices"], grid[f"{name}_field"]),
        ("By strike", strikes["strikes"], [strikes[right][f"{name}_field"] for right in ("calls", "puts")]),
    ):
        shown, places = table(page, caption), near(landscape, prices, reach)
        assert len(places) > 10
        assert list(shown) == pytest.approx([prices[i] for i in places], abs=0.0051)
        expected = [[column[i] * factor for column in columns] for i in places]
        np.testing.assert_allclose(list(shown.values()), expected, rtol=1e-12, atol=0)


def test_every_number_of_the_panel_is_that_of_the_answers(page: Page, service: Service) -> None:
    """As tables, for each of the three fields, with unit."""
    found = answers(service, "SIM")
    choose(page, "0.05")
    page.locator("#landscape-numbers summary").click()
    for name, unit in UNITS.items():
        choose(page, name)
        check_tables(page, *found, name, 0.05)
        assert unit in page.locator("#landscape-meaning").inner_text()


def test_a_real_chain_is_shown_number_for_number(service: Service, open_page: OpenPage, shared_data: Path) -> None:
    """An evening of SPX, 30,000 contracts: walls and flip in sight from the beginning."""
    for record in published("SPX", evening(shared_data / "spx_chain" / "2026-08-20.csv.gz")):
        service.put(record)
    page = with_field(open_page(service.address))
    landscape, at_spot = answers(service, "SPX")
    names = page.locator(".heat .pane .name").all_text_contents()
    assert names == [
        f"call wall {landscape['call_wall']:,.0f}",
        f"gamma flip {landscape['gamma_flip']:,.2f}",
        f"spot {landscape['spot']:,.2f}",
        f"put wall {landscape['put_wall']:,.0f}",
    ]
    page.locator("#landscape-numbers summary").click()
    check_tables(page, landscape, at_spot, "gamma", 0.05)
    choose(page, "1")
    check_tables(page, landscape, at_spot, "gamma", 1.0)


def points(page: Page, selector: str) -> list[tuple[float, float]]:
    """Where a path of the pictures has its points, in pixels."""
    path = page.locator(selector).get_attribute("d") or ""
    return [(float(x), float(y)) for x, y in re.findall(r"[ML]([\d.-]+) ([\d.-]+)", path)]


def test_the_profile_is_drawn_to_scale_with_every_level_at_its_price(page: Page, service: Service) -> None:
    """Pixels are a straight line of the answer's numbers, to a tenth of a pixel; so are spot, flip and walls."""
    choose(page, "0.05")
    landscape, _ = answers(service, "SIM")
    prices = np.array(landscape["prices"])
    places = near(landscape, landscape["prices"], 0.05)
    values = np.array(landscape["profiles"]["weighted"]["gamma_profile"])[places]
    x, y = np.array(points(page, ".profile .curve")).T
    for numbers, pixels in ((values, x), (prices[places], y)):
        line = np.polyfit(numbers, pixels, 1)
        assert np.abs(np.polyval(line, numbers) - pixels).max() < 0.1
    at = np.polyfit(prices[places], y, 1)
    levels = {"spot": landscape["spot"], "gamma-flip": landscape["gamma_flip"]}
    levels |= {name.replace("_", "-"): landscape[name] for name in ("call_wall", "put_wall")}
    for pane, (name, price) in itertools.product(("strikes", "profile", "heat"), levels.items()):
        drawn = re.search(r" ([\d.]+)H", page.locator(f".{pane} .level.{name}").get_attribute("d") or "")
        assert drawn is not None
        assert float(drawn[1]) == pytest.approx(np.polyval(at, price), abs=0.15)
    assert f"gamma flip {landscape['gamma_flip']:,.2f}" in page.locator("#landscape-levels").inner_text()


def test_the_heat_map_has_the_tone_of_the_sign_and_the_strength_of_the_number(page: Page, service: Service) -> None:
    """At every point of the grid: orange below zero, teal above it, the stronger the larger, as the legend says."""
    grid = answers(service, "SIM")[0]["grid"]
    prices = np.array(grid["prices"])
    down = (prices[-1] - prices[1:-1]) / (prices[-1] - prices[0])
    across = np.linspace(0, 1, len(grid["instants_ns"]))
    choose(page, "1")
    weak = []
    for name, factor in FACTORS.items():
        choose(page, name)
        field_of_grid = np.array(grid[f"{name}_field"]).T
        numbers = field_of_grid[1:-1].ravel() * factor
        _, size, scale = page.locator("#landscape-ramp b").last.inner_text().split()
        expected = np.minimum(1, np.abs(numbers) / (float(size) * {"k": 1e3, "mn": 1e6, "bn": 1e9}[scale]))
        painted = colours(page, down, across)
        strength = 1 - painted.min(axis=1) / 255  # the card is white
        # a pixel is up to half of one beside its point: where the neighbours in price have another sign, it may too
        signs = np.sign(field_of_grid)
        steady = (signs[:-2] == signs[1:-1]) & (signs[2:] == signs[1:-1])
        clear = (expected > 0.2) & steady.ravel()
        assert clear.sum() > 100
        assert ((painted[:, 2] > painted[:, 0]) == (numbers > 0))[clear].all()
        assert np.corrcoef(expected[clear], strength[clear])[0, 1] > 0.95
        assert np.median(strength[expected == 1]) > 0.8
        weak.append(strength[expected < 0.03])
    assert np.median(np.concatenate(weak)) < 0.1


def test_values_are_read_by_arrow_keys_and_by_pointer(page: Page, service: Service) -> None:
    """A focused picture begins at the spot; each step is a point of the answer."""
    landscape, _ = answers(service, "SIM")
    prices, middle = landscape["prices"], len(landscape["prices"]) // 2
    pane, readout = page.locator(".profile .pane"), page.locator("#landscape-readout")
    pane.focus()
    page.keyboard.press("ArrowUp")
    page.keyboard.press("ArrowUp")
    value = landscape["profiles"]["weighted"]["gamma_profile"][middle + 2] * 0.01
    text = f"gamma at {prices[middle + 2]:,.2f}: {value / 1e9:,.2f} bn USD per 1\u00a0%\u00a0move; sticky delta: "
    expect(readout).to_contain_text(text)
    expect(pane).to_have_attribute("aria-valuetext", re.compile(re.escape(text)))
    heat = page.locator(".heat .pane")
    heat.focus()
    for _ in range(8):
        page.keyboard.press("ArrowRight")
    last = landscape["grid"]["gamma_field"][-1][len(landscape["grid"]["prices"]) // 2] * 0.01
    expect(readout).to_contain_text(f"UTC: {last / 1e9:,.2f} bn")
    box = page.locator(".strikes .pane").bounding_box()
    assert box is not None
    page.mouse.move(box["x"] + box["width"] / 2, box["y"] + box["height"] / 2)
    expect(readout).to_have_text(re.compile(r"^strike [\d,]+: calls .+\smove, puts .+\smove$"))
    page.mouse.move(0, 0)
    expect(readout).to_contain_text("arrow keys")


def test_a_book_is_chosen_for_the_profile_and_only_where_it_is_published(page: Page, service: Service) -> None:
    """Gamma is known of every book; vanna, charm and the heat map are of the default one, and say so."""
    landscape, _ = answers(service, "SIM")
    choose(page, "0.05")
    choose(page, "naive")
    expect(page.locator(".profile [data-book]")).to_have_text("naive book")
    expect(page.locator(".heat [data-book]")).to_have_text("weighted book")
    flips = [landscape["profiles"][book]["gamma_flips"][0] for book in ("naive", "weighted")]
    assert f"{flips[0]:,.2f}" != f"{flips[1]:,.2f}"
    expect(page.locator("#landscape-levels")).to_contain_text(f"gamma flip {flips[0]:,.2f}")
    page.locator("#landscape-numbers summary").click()
    shown = [first for first, _ in table(page, "Re-priced profile").values()]
    places = near(landscape, landscape["prices"], 0.05)
    naive = [landscape["profiles"]["naive"]["gamma_profile"][i] * 0.01 for i in places]
    assert shown == pytest.approx(naive, rel=1e-12)
    choose(page, "charm")
    expect(page.locator(".profile [data-book]")).to_have_text("weighted book")
    disabled = page.locator("#landscape-choices input:disabled").evaluate_all("all => all.map(one => one.value)")
    assert disabled == ["naive", "flow"]
    choose(page, "gamma")
    expect(page.locator(".profile [data-book]")).to_have_text("naive book")


@pytest.mark.parametrize(("width", "scheme"), [(390, "dark"), (768, "light"), (1360, "dark")])
def test_the_panel_fits_every_width_and_its_map_has_the_colours_of_the_theme(
    service: Service, open_page: OpenPage, simulated: tuple[Pressure, Field], width: int, scheme: str
) -> None:
    """No horizontal scroll, tables open or not; zero has the ground of the card."""
    for record in simulated:
        service.put(record)
    page = with_field(open_page(service.address, width, 1000, scheme))
    page.locator("#landscape-numbers summary").click()
    choose(page, "1")
    assert page.evaluate("document.documentElement.scrollWidth") == width
    names = page.locator(".heat .pane .name")
    assert names.count() == 4
    for label in names.all():
        box = label.bounding_box()
        assert box is not None
        assert box["x"] + box["width"] < width
    quietest = np.median(colours(page, [0.001], np.linspace(0, 1, 9)))  # far from the strikes there is next to no gamma
    assert (quietest > 128) == (scheme == "light")


def test_a_change_of_theme_paints_the_map_anew(page: Page) -> None:
    """Its colours are pixels, so no style sheet does it."""
    choose(page, "1")
    assert colours(page, [0.001], [0.5]).min() > 200  # far from the strikes there is next to no gamma
    button = page.get_by_role("button", name="Colour theme")
    button.click()
    button.click()
    expect(page.locator("html")).to_have_attribute("data-theme", "dark")
    # not wait_for_function: the page's policy forbids what it does
    page.locator(".heat canvas").evaluate(
        f"canvas => new Promise(done => {{ const look = () => ({COLOURS})(canvas, [[0.001, 0.5]])[0][0] < 60"
        " ? done() : requestAnimationFrame(look); look(); })"
    )
