"""The fields of a book, contract by contract in plain Python: the oracle of the panel."""

import math

import numpy as np
from numpy.typing import NDArray

from dhpe.book import Book
from dhpe.numerics.black import gamma_vanna_charm
from dhpe.numerics.state import NS_PER_YEAR


def slow_fields(book: Book, tau_floor_ns: int) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Fields and sums of |contribution|, both (field, book), at the book's spot and event time."""
    state = book.state
    net, gross = np.zeros((4, 3)), np.zeros((4, 3))
    market = state.market[0]
    for contract in state.contracts[: market["contracts"]]:
        if not contract["active"] or not contract["vol"] > 0:
            continue
        expiry = state.expiries[contract["expiry"]]
        # The basis is a fixed factor between our spot and the one the forward grows from.
        spot = float(market["spot"]) * math.exp(expiry["basis"])
        tau = max(int(contract["settles_ns"]) - int(market["ts_ns"]), tau_floor_ns) / NS_PER_YEAR
        rate, dividend_yield = expiry["rate"], expiry["rate"] - expiry["carry"]
        gamma, vanna, charm = gamma_vanna_charm(
            spot, contract["strike"], tau, rate, dividend_yield, contract["vol"], contract["right"]
        )
        units = np.array([gamma * spot**2, vanna * spot, charm * spot, expiry["beta"] * vanna * spot])
        net += np.outer(units * contract["multiplier"], contract["position"])
        gross += np.outer(np.abs(units) * contract["multiplier"], np.abs(contract["position"]))
    return net, gross
