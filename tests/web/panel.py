"""What the tests of the dealer field's panel do on the page and see on it."""

import itertools
from collections.abc import Iterable
from typing import Final

import numpy as np
from playwright.sync_api import Page, expect

COLOURS: Final = """(canvas, points) => {
  const { width, height } = canvas, copy = new OffscreenCanvas(width, height);
  const context = copy.getContext("2d", { willReadFrequently: true });
  context.drawImage(canvas, 0, 0);
  const { data } = context.getImageData(0, 0, width, height);
  const place = (share, all) => Math.min(all - 1, Math.floor(share * all));
  return points.map(([down, across]) => {
    const at = 4 * (place(down, height) * width + place(across, width));
    return [data[at], data[at + 1], data[at + 2]];
  });
}"""


def colours(page: Page, down: Iterable[float], across: Iterable[float]) -> np.ndarray:
    """Red, green and blue of the heat map where shares of its height and width meet."""
    points = list(itertools.product(map(float, down), map(float, across)))
    return np.array(page.locator(".heat canvas").evaluate(COLOURS, points), np.int64)


def with_field(page: Page) -> Page:
    """The page, when its panel is drawn."""
    page.locator("#landscape").scroll_into_view_if_needed()
    expect(page.locator("#landscape-body")).to_be_visible()
    return page


def choose(page: Page, value: str) -> None:
    """Press one of the panel's choices."""
    page.locator(f"#landscape-choices label:has([value='{value}'])").click()
