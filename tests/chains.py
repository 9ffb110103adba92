"""Chains for the tests: rows of contracts and expiries, from a flat list of options or from the real SPX file."""

import csv
import gzip
import math
from collections.abc import Iterable
from datetime import UTC, datetime, time
from pathlib import Path
from typing import NamedTuple
from zoneinfo import ZoneInfo

import numpy as np
from numpy.typing import NDArray

from dhpe.numerics.implied_vol import SOLVED, invert
from dhpe.numerics.parity import forward_ratio, years
from dhpe.numerics.state import CONTRACT, EXPIRY, VOL_NONE, VOL_OWN_QUOTE, VOL_PAIR_QUOTE

NEW_YORK = ZoneInfo("America/New_York")
NS_PER_DAY = 86_400_000_000_000
SESSION_NS = int(datetime(2026, 8, 18, 16, 15, tzinfo=NEW_YORK).timestamp()) * 1_000_000_000


class Option(NamedTuple):
    """One option of a test chain; prices NaN where there is no quote."""

    settles_ns: int
    strike: float
    right: int
    bid: float = math.nan
    ask: float = math.nan
    position: float = 0.0
    vol: float = math.nan
    quote_spot: float = math.nan


class Chain(NamedTuple):
    """Rows as the kernels take them."""

    contracts: NDArray[np.void]
    expiries: NDArray[np.void]

    @property
    def sizes(self) -> tuple[int, int]:
        """How many contracts and expiries."""
        return len(self.contracts), len(self.expiries)


def empty_expiries(settlements: Iterable[int]) -> NDArray[np.void]:
    """Rows of EXPIRY about which nothing is known."""
    instants = list(settlements)
    rows = np.zeros(len(instants), EXPIRY)
    rows["settles_ns"] = instants
    for name in (
        "given_forward",
        "given_forward_spot",
        "given_discount",
        "atm_vol",
        "beta_standard_error",
        "atm_total_variance",
    ):
        rows[name] = np.nan
    return rows


def build(options: list[Option], ts_ns: int, multiplier: float = 100.0) -> Chain:
    """A chain of these options, all quoted at ``ts_ns``."""
    settlements = sorted({option.settles_ns for option in options})
    place = {(option.settles_ns, option.strike, option.right): row for row, option in enumerate(options)}
    contracts = np.zeros(len(options), CONTRACT)
    for row, option in enumerate(options):
        contract = contracts[row]
        contract["strike"] = option.strike
        contract["log_strike"] = math.log(option.strike)
        contract["multiplier"] = multiplier
        contract["settles_ns"] = option.settles_ns
        contract["expiry"] = settlements.index(option.settles_ns)
        contract["pair"] = place.get((option.settles_ns, option.strike, -option.right), -1)
        contract["right"] = option.right
        contract["active"] = 1
        contract["position"] = option.position
        contract["vol"] = option.vol
        contract["vol_source"] = VOL_NONE if math.isnan(option.vol) else VOL_OWN_QUOTE
        contract["quote_spot"] = option.quote_spot
        if not math.isnan(option.bid):
            contract["quote"]["ts_ns"] = ts_ns
            contract["quote"]["bid"] = option.bid
            contract["quote"]["ask"] = option.ask
    return Chain(contracts, empty_expiries(settlements))


def spx(folder: Path, date: str = "2026-08-18") -> tuple[Chain, float, int]:
    """(chain, spot, time) of a real SPX close; naive positions from open interest, same-day expiries left out."""
    with (folder / "spx_chain" / "underlying.csv").open(encoding="utf-8") as file:
        spot = next(float(row["current_price"]) for row in csv.DictReader(file) if row["session_date"] == date)
    day = datetime.strptime(date, "%Y-%m-%d").replace(tzinfo=UTC).date()
    ts_ns = int(datetime.combine(day, time(16, 15), NEW_YORK).timestamp()) * 1_000_000_000
    options = []
    with gzip.open(folder / "spx_chain" / f"{date}.csv.gz", "rt", encoding="utf-8") as file:
        for row in csv.DictReader(file):
            expiry = datetime.strptime(row["expiry"], "%Y-%m-%d").replace(tzinfo=UTC).date()
            hour = time(16, 0) if row["option"].startswith("SPXW") else time(9, 30)
            settles_ns = int(datetime.combine(expiry, hour, NEW_YORK).timestamp()) * 1_000_000_000
            right = 1 if row["right"] == "C" else -1
            if settles_ns > ts_ns:
                interest = float(row["open_interest"]) * right
                options.append(
                    Option(settles_ns, float(row["strike"]), right, float(row["bid"]), float(row["ask"]), interest)
                )
    return build(options, ts_ns), spot, ts_ns


def imply_vols(chain: Chain, spot: float, ts_ns: int) -> None:
    """Give every strike the vol of its out-of-the-money quote, the other side where that one has no bid."""
    for contract in chain.contracts:
        expiry = chain.expiries[contract["expiry"]]
        tau = years(contract["settles_ns"], ts_ns)
        forward = spot * forward_ratio(expiry, ts_ns)
        wing = -1 if contract["strike"] < forward else 1
        pair = chain.contracts[contract["pair"]] if contract["pair"] >= 0 else contract
        first, second = (contract, pair) if contract["right"] == wing else (pair, contract)
        giver = first if first["quote"]["bid"] > 0.0 else second
        quote = giver["quote"]
        if not 0.0 < quote["bid"] <= quote["ask"]:
            continue
        mid = 0.5 * (quote["bid"] + quote["ask"])
        vol, reason = invert(
            mid, forward, contract["strike"], tau, math.exp(-expiry["rate"] * tau), int(giver["right"])
        )
        if reason == SOLVED:
            contract["vol"] = vol
            contract["vol_source"] = VOL_OWN_QUOTE if giver is contract else VOL_PAIR_QUOTE
