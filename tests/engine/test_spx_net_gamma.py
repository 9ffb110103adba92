"""The replay of the real SPX chain against a short script of our own that shares no code with the service."""

import csv
import gzip
import json
import math
from datetime import date, datetime, time
from pathlib import Path
from zoneinfo import ZoneInfo

import numpy as np
import pytest
from scipy.special import ndtr

from dhpe.edge import formats
from dhpe.parameters import Parameters
from dhpe.replay import replay

NEW_YORK = ZoneInfo("America/New_York")
DAY = "2026-08-20"


def chain(folder: Path) -> tuple[np.ndarray, float]:
    """(columns tau, strike, right, mid, open interest, settles at AM; spot) of one evening, settled series left out."""
    with (folder / "underlying.csv").open(encoding="utf-8") as file:
        spot = next(float(row["current_price"]) for row in csv.DictReader(file) if row["session_date"] == DAY)
    now = datetime.combine(date.fromisoformat(DAY), time(16, 15), NEW_YORK)
    rows = []
    with gzip.open(folder / f"{DAY}.csv.gz", "rt", encoding="utf-8") as file:
        for row in csv.DictReader(file):
            morning = not row["option"].startswith("SPXW")
            settles = datetime.combine(
                date.fromisoformat(row["expiry"]), time(9, 30) if morning else time(16), NEW_YORK
            )
            tau = (settles.timestamp() - now.timestamp()) / (365 * 86_400)
            bid, ask = float(row["bid"]), float(row["ask"])
            if tau > 0:
                right = 1 if row["right"] == "C" else -1
                rows.append((tau, float(row["strike"]), right, bid, ask, float(row["open_interest"])))
    return np.array(rows), spot


def price(forward: float, strike: np.ndarray, deviation: np.ndarray, right: int) -> np.ndarray:
    """Undiscounted Black."""
    d1 = np.log(forward / strike) / deviation + deviation / 2
    return right * (forward * ndtr(right * d1) - strike * ndtr(right * (d1 - deviation)))


def implied(forward: float, strike: np.ndarray, mid: np.ndarray, right: int) -> np.ndarray:
    """Deviations vol sqrt(tau) by bisection; NaN below intrinsic."""
    low, high = np.full(len(strike), 1e-6), np.full(len(strike), 6.0)
    for _ in range(60):
        middle = (low + high) / 2
        above = price(forward, strike, middle, right) > mid
        low, high = np.where(above, low, middle), np.where(above, middle, high)
    intrinsic = np.maximum(right * (forward - strike), 0)
    return np.where(mid > intrinsic + 1e-9, (low + high) / 2, np.nan)


def held(columns: np.ndarray, spot: float) -> np.ndarray:
    """(position, strike, right, forward/spot, deviation) by contract; one vol per strike, out of the money."""
    found = []
    for tau in np.unique(columns[:, 0]):
        one = columns[columns[:, 0] == tau]
        calls, puts = ({row[1]: row for row in one[one[:, 2] == right]} for right in (1, -1))
        both = [k for k in calls if k in puts and calls[k][3] > 0 and puts[k][3] > 0 and abs(k / spot - 1) < 0.05]
        if len(both) < 4:
            continue
        differences = [(calls[k][3] + calls[k][4] - puts[k][3] - puts[k][4]) / 2 for k in both]
        slope, level = np.polyfit(both, differences, 1)
        forward = -level / slope
        discount = -slope
        strikes = np.array(sorted(set(calls) | set(puts)))
        for right, quotes, side in ((-1, puts, strikes < forward), (1, calls, strikes >= forward)):
            usable = np.array([k for k in strikes[side] if k in quotes and 0 < quotes[k][3] <= quotes[k][4]])
            if len(usable) == 0:
                continue
            mids = np.array([(quotes[k][3] + quotes[k][4]) / 2 for k in usable]) / discount
            for k, deviation in zip(usable, implied(forward, usable, mids, right), strict=True):
                for sign, owner in ((1, calls), (-1, puts)):
                    if k in owner and math.isfinite(deviation):
                        found.append((sign * owner[k][5], k, sign, forward / spot, deviation))
    return np.array(found)


def gammas(book: np.ndarray, spot: float) -> np.ndarray:
    """The gamma field, n Gamma S^2 M, of every contract at a spot, vols staying at their strikes."""
    position, strike, _, ratio, deviation = book.T
    d1 = np.log(spot * ratio / strike) / deviation + deviation / 2
    return position * 100 * spot * np.exp(-(d1**2) / 2) / math.sqrt(2 * math.pi) / deviation


@pytest.fixture(scope="module")
def answers(shared_data: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[dict, np.ndarray, float]:
    """(the replay's last state of the evening, the script's book, spot)."""
    folder = tmp_path_factory.mktemp("spx")
    replay(formats.plan([shared_data / "spx_chain" / f"{DAY}.csv.gz"]), folder, Parameters())
    state = json.loads((folder / "pressure.jsonl").read_bytes().splitlines()[-1])
    columns, spot = chain(shared_data / "spx_chain")
    return state, held(columns, spot), spot


def test_net_gamma_per_1_per_cent_is_that_of_the_script(answers: tuple[dict, np.ndarray, float]) -> None:
    """Of the naive book, to 2 % of the net figure: forwards and the few strikes without a quote differ."""
    state, book, spot = answers
    assert state["spot"] == pytest.approx(spot, abs=1e-3)
    script = 0.01 * gammas(book, spot).sum()
    assert state["books"]["naive"]["gamma_usd_per_1pct"] == pytest.approx(script, rel=0.02)


def test_every_flip_is_where_the_script_has_one(answers: tuple[dict, np.ndarray, float]) -> None:
    """Sign changes on the 10 bp grid of MODEL.md section 5, tails below a thousandth of the maximum left out."""
    state, book, spot = answers
    prices = spot * np.exp(1e-3 * np.arange(-100, 101))
    profile = np.array([gammas(book, there).sum() for there in prices])
    clear = np.abs(profile) >= 1e-3 * np.abs(profile).max()
    turns = [i for i in range(200) if profile[i] * profile[i + 1] < 0 and clear[i] and clear[i + 1]]
    script = [prices[i] - profile[i] * (prices[i + 1] - prices[i]) / (profile[i + 1] - profile[i]) for i in turns]
    inside = [flip for flip in state["gamma_flips"] if prices[0] <= flip <= prices[-1]]
    assert inside == pytest.approx(script, rel=1e-3)
    assert state["gamma_flip"] == pytest.approx(min(script, key=lambda flip: abs(flip - spot)), rel=1e-3)


def test_the_walls_are_the_strikes_of_the_script(answers: tuple[dict, np.ndarray, float]) -> None:
    """Largest |gamma| of calls at or above spot, of puts at or below."""
    state, book, spot = answers
    sizes = gammas(book, spot)
    for name, right in (("call_wall", 1), ("put_wall", -1)):
        strikes = np.unique(book[(book[:, 2] == right) & (right * (book[:, 1] - spot) >= 0), 1])
        totals = [abs(sizes[(book[:, 1] == k) & (book[:, 2] == right)].sum()) for k in strikes]
        assert state[name] == strikes[int(np.argmax(totals))]
