"""One underlying: its columns, books, surface, liquidity and regime, moved by one record after the other.

The kernel applies the records; what it stops for is done here: judge a bar, refit the surface, publish a state.
"""

from collections.abc import Iterable
from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from dhpe.adjustment import rescale
from dhpe.book import Book
from dhpe.columns import OPTION_TRADE, Adjustment, Contract, DealerPosition, Instrument, OpenInterest, Rates, Reference
from dhpe.landscape import Landscape, landscape
from dhpe.liquidity import KyleLambda, amihud_illiquidity, estimate
from dhpe.numerics.option_trades import TRADE_SLOTS
from dhpe.numerics.order_book import LEVELS
from dhpe.numerics.panel_arrays import PanelRules
from dhpe.numerics.panel_check import largest_error
from dhpe.numerics.parity import fit_forwards
from dhpe.numerics.revalue import fill_from_smile, revalue_dirty, weigh_expiries
from dhpe.numerics.side_labels import SideRules
from dhpe.numerics.smile import fit_smiles
from dhpe.numerics.ssvi import PHI_LAWS
from dhpe.numerics.state import BOOKS, INSTRUMENT, LABEL, NS_PER_S, TRADE_MEMORY
from dhpe.numerics.sticky_delta import measure_ratios, move_vols
from dhpe.numerics.ticks import CLOSE_BAR, DONE, INDEX_SPOT, PUBLISH, REFIT, VIX, VVIX, Rules, advance, refresh_fields
from dhpe.numerics.underlying_ticks import PressureWeights, TapeState
from dhpe.parameters import Parameters
from dhpe.stickiness import SkewStickiness

INSTRUMENTS_MAX: Final = 8
_NS_PER_MS: Final = 1_000_000
_NO_TRADE: Final = np.zeros((), TRADE_MEMORY)
_NO_TRADE["sequence"] = -1
_INDEX_CODES: Final = {"VIX": VIX, "VVIX": VVIX}


def rules_of(parameters: Parameters) -> tuple[Rules, PanelRules]:
    """The parameters as the kernels take them, times in nanoseconds."""
    return (
        Rules(
            pressure_ns=parameters.pressure_interval_ms * _NS_PER_MS,
            revalue_ns=parameters.revalue_interval_ms * _NS_PER_MS,
            surface_ns=int(parameters.surface_interval_s * NS_PER_S),
            bar_ns=int(parameters.bar_s * NS_PER_S),
            liquidity_ns=int(parameters.liquidity_bar_s * NS_PER_S),
            spot_max_age_ns=int(parameters.spot_max_age_s * NS_PER_S),
            sides=SideRules(
                stack=parameters.stack_probability,
                index_lee_ready=parameters.index_lee_ready_probability,
                lee_ready=parameters.lee_ready_probability,
                tick=parameters.tick_probability,
                multi_leg=parameters.multi_leg_probability,
                quote_stale_ns=int(parameters.quote_stale_s * NS_PER_S),
                sweep_ns=parameters.sweep_window_ms * _NS_PER_MS,
                session_gap_ns=int(parameters.session_gap_s * NS_PER_S),
            ),
            pressure_weights=PressureWeights(
                BOOKS.index(parameters.default_book),
                parameters.dealer_share * parameters.gamma_weight,
                parameters.dealer_share * parameters.vanna_weight,
            ),
        ),
        PanelRules(
            half_width=parameters.panel_half_width_log,
            window_ns=int(parameters.panel_window_s * NS_PER_S),
            tau_floor_ns=int(parameters.tau_floor_s * NS_PER_S),
            hot_tau_ns=int(parameters.hot_tau_s * NS_PER_S),
            hot_width=parameters.hot_width_deviations,
            rebuild_events=parameters.panel_rebuild_events,
            spread_max=parameters.quote_spread_max,
            by_delta=parameters.stickiness == "delta",
        ),
    )


def new_tape(parameters: Parameters) -> TapeState:
    """Empty rings, order book and instruments."""
    instruments = np.zeros(INSTRUMENTS_MAX, INSTRUMENT)
    instruments["multiplier"] = 1.0
    bars = parameters.liquidity_bars_max
    return TapeState(
        instruments=instruments,
        depth=np.zeros((2, LEVELS, 2)),
        depth_counts=np.zeros(2, np.int64),
        returns=np.zeros(bars),
        flows=np.zeros(bars),
        volumes=np.zeros(bars),
        pressures=np.zeros(bars),
    )


class Stop(NamedTuple):
    """Where the kernel stopped in a run of records, and why."""

    place: int
    due: int


class Underlying:
    """State of one underlying. ``run`` yields where a bar closed or a state is to be published."""

    def __init__(self, name: str, parameters: Parameters) -> None:
        self.name = name
        self.parameters = parameters
        self.book = Book(parameters)
        self.tape = new_tape(parameters)
        self.landscape: Landscape | None = None
        self.panel_error: float | None = None
        self.stickiness = SkewStickiness(parameters)
        self.gaps: dict[str, int] = {}  # source -> event time of its latest gap that nothing has closed yet
        self._rules = rules_of(parameters)
        self._instruments: dict[str, int] = {}
        self._impact: tuple[int, KyleLambda, float | None] | None = None

    @property
    def market(self) -> np.void:
        """The scalars of the state, one row of ``state.MARKET``."""
        row: np.void = self.book.state.market[0]
        return row

    def apply_reference(self, fact: Reference) -> tuple[str, str] | None:
        """Apply slow reference data; a reject reason and a sentence where that cannot be."""
        match fact:
            case Contract():
                return self.book.add(fact)
            case OpenInterest():
                return self.book.open_interest(fact)
            case DealerPosition():
                return self.book.dealer_position(fact)
            case Rates():
                return self.book.rates(fact)
            case Instrument():
                return self._define_instrument(fact)
            case Adjustment():
                return self._adjust(fact)

    def _adjust(self, fact: Adjustment) -> tuple[str, str] | None:
        refusal = self.book.adjust(fact)
        if refusal is None and fact.shares != 1.0:
            expiries = self.book.state.expiries[: int(self.market["expiries"])]
            rescale(self.market, expiries, self.tape, fact.shares)
            self.stickiness.rescale(fact.shares)
        return refusal

    def _define_instrument(self, fact: Instrument) -> tuple[str, str] | None:
        row = self.instrument_row(fact.instrument)
        if row < 0:
            return "too_many_instruments", f"{self.name} already has {INSTRUMENTS_MAX} instruments"
        instrument = self.tape.instruments[row]
        instrument["multiplier"] = fact.multiplier
        instrument["inverse"] = fact.inverse
        instrument["hedge"] = fact.role == "hedge"
        return None

    def instrument_row(self, instrument: str) -> int:
        """The row of an instrument, listed at its first mention; -1 when there is no place left."""
        if instrument not in self._instruments and len(self._instruments) < INSTRUMENTS_MAX:
            self._instruments[instrument] = len(self._instruments)
        return self._instruments.get(instrument, -1)

    def index_code(self, name: str) -> int:
        """What an index value means to the kernel; -1 for one that nothing depends on yet."""
        return INDEX_SPOT if name == self.name else _INDEX_CODES.get(name, -1)

    def run(
        self, events: NDArray[np.void], rows: NDArray[np.int32], levels: NDArray[np.float64], labels: NDArray[np.void]
    ) -> Iterable[Stop]:
        """Apply hot records in order; ``rows`` names the contract, instrument or index of each.

        Yields a ``Stop`` for each closed bar (``CLOSE_BAR``, before the record that ended it is applied) and each due
        publication (``PUBLISH``, after it). ``labels`` (rows of ``state.LABEL``) receives the side of each trade.
        """
        self.market["labels"] = 0
        if len(self.tape.trades) == 0 and ((events["kind"] == OPTION_TRADE) & (events["sequence"] >= 0)).any():
            # Only trades with a sequence can be cancelled; most feeds have none, and need no memory.
            self.tape = self.tape._replace(trades=np.full(TRADE_SLOTS, _NO_TRADE))
        place, due = 0, DONE
        while True:
            place, due = advance(events, rows, place, levels, labels, self.book.state, self.tape, self._rules)
            if due == DONE:
                return
            if due == REFIT:
                self.refit(max(int(events["ts_event_ns"][place]), int(self.market["ts_ns"])))
                continue
            if due == CLOSE_BAR:
                yield Stop(place, due)
                self.market["bar_slot"] = -1
            else:
                yield Stop(place - 1, PUBLISH)

    def refit(self, now_ns: int) -> None:
        """Forwards, then the waiting quotes, then smiles and betas, then the vols that only the smile gives."""
        state = self.book.state
        market = self.market
        parameters = self.parameters
        contracts, expiries = int(market["contracts"]), int(market["expiries"])
        spot = float(market["spot"])
        market["panel_valid"] = 0
        by_delta = self._rules[1].by_delta
        if by_delta:
            move_vols(state.contracts[:contracts], state.expiries[:expiries], spot, now_ns)
        fit_forwards(
            state.contracts, contracts, state.expiries, expiries, spot, now_ns, self.book.rate, self.book.dividend_yield
        )
        revalue_dirty(state, self._rules[1])
        fit_smiles(
            state.contracts,
            contracts,
            state.expiries,
            expiries,
            spot,
            now_ns,
            self.stickiness.rule(now_ns),
            PHI_LAWS.index(parameters.surface_phi),
        )
        if by_delta:
            measure_ratios(state.contracts[:contracts], state.expiries[:expiries], spot, now_ns)
        self.stickiness.observe(state, now_ns)
        self._close_gaps()
        fill_from_smile(state, self._rules[1])
        weigh_expiries(BOOKS.index(parameters.default_book), state, self._rules[1])
        market["surface_slot"] = now_ns // self._rules[0].surface_ns
        market["surface_spot"] = spot
        market["fields_valid"] = 0

    def _close_gaps(self) -> None:
        """Missing records no longer matter once everything that had a quote, spot included, has a later one."""
        if not self.gaps:
            return
        contracts = self.book.state.contracts[: len(self.book)]
        quoted_ns = contracts["quote"]["ts_ns"][contracts["active"] == 1]
        quoted_ns = quoted_ns[quoted_ns > 0]
        since_ns = max(self.gaps.values())
        if len(quoted_ns) and self.market["spot_ns"] > since_ns and bool((quoted_ns > since_ns).all()):
            self.gaps.clear()

    def refresh(self) -> None:
        """Bring the fields to the present spot and time."""
        refresh_fields(self.book.state, self._rules[1])

    def refresh_landscape(self) -> Landscape | None:
        """The re-priced profile of the default book and the panel's self-check.

        Made anew at each event-time interval, and when spot has moved so far that a wall could stand on its wrong side.
        """
        market = self.market
        slot = int(market["ts_ns"] // (self.parameters.landscape_interval_s * NS_PER_S))
        known = market["spot"] > 0 and len(self.book) > 0 and market["surface_slot"] >= 0
        if known and (slot > market["landscape_slot"] or self._has_left_the_landscape()):
            market["landscape_slot"] = slot
            market["landscape_spot"] = market["spot"]
            state = self.book.state
            tau_floor_ns = self._rules[1].tau_floor_ns
            self.panel_error = largest_error(market, state.contracts, state.expiries, state.panel, tau_floor_ns)
            self.landscape = landscape(
                state.contracts,
                len(self.book),
                state.expiries,
                int(market["expiries"]),
                BOOKS.index(self.parameters.default_book),
                float(market["spot"]),
                int(market["ts_ns"]),
                self.parameters,
            )
        return self.landscape

    def _has_left_the_landscape(self) -> bool:
        move = self.market["spot"] - self.market["landscape_spot"]
        return bool(abs(move) > self.parameters.landscape_move_share * self.market["landscape_spot"])

    @property
    def known_impact(self) -> tuple[KyleLambda, float | None] | None:
        """What ``impact`` last said: for a reader who must not decide when it is estimated."""
        return None if self._impact is None else self._impact[1:]

    def impact(self) -> tuple[KyleLambda, float | None]:
        """The impact estimate and the Amihud illiquidity as of the last closed liquidity bar."""
        slot = int(self.market["liquidity_slot"])
        if self._impact is None or self._impact[0] != slot or self.market["touch_mean"] == 0:
            self._impact = (
                slot,
                estimate(self.market, self.tape, self.parameters),
                amihud_illiquidity(self.market, self.tape),
            )
        return self._impact[1:]


def labels_for(events: NDArray[np.void]) -> NDArray[np.void]:
    """Room for the labels of all trades in ``events``."""
    return np.zeros(len(events), LABEL)
