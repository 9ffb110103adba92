"""What the engine says of the whole field: over prices and time, by strike and by expiry, and of the surface below it.

Topic ``field``, one record per underlying and interval, for reading: no alert depends on it, and it is written outside
the transaction. Each part is the body of one answer: ``at_spot`` of ``/v1/{underlying}/field``, ``landscape``,
``potential`` and ``surface`` of the paths of their names. A part that cannot be known is ``None`` with a reason in
``quality``. Columns beside each other have one length; units are those of ``dhpe.outputs``.
"""

from typing import Literal

import msgspec

from dhpe.outputs import Offsets, Quality


class FieldLimits(msgspec.Struct, frozen=True, kw_only=True):
    """How much of each kind one record may hold; what is beyond is counted, never silently dropped."""

    strikes_max: int
    expiries_max: int
    points_max: int
    grid_points_max: int
    grid_instants: int


class FieldColumns(msgspec.Struct, frozen=True, kw_only=True):
    """The three fields, one number per key."""

    gamma_field: list[float]
    vanna_field: list[float]
    charm_field: list[float]


class StrikeFields(msgspec.Struct, frozen=True, kw_only=True):
    """What each strike adds to the fields at the spot, its calls and its puts apart."""

    strikes: list[float]
    calls: FieldColumns
    puts: FieldColumns
    strikes_left_out: int


class ExpiryFields(msgspec.Struct, frozen=True, kw_only=True):
    """What each settlement adds to the fields and to the gain."""

    settles_ns: list[int]
    series: list[int]
    gamma_field: list[float]
    vanna_field: list[float]
    charm_field: list[float]
    hedge_pressure: list[float]
    feedback_gain: list[float] | None
    expiries_left_out: int


class TermFields(msgspec.Struct, frozen=True, kw_only=True):
    """What each range of days to settlement adds, over all expiries."""

    terms: list[str]
    series: list[int]
    gamma_field: list[float]
    vanna_field: list[float]
    charm_field: list[float]
    hedge_pressure: list[float]
    feedback_gain: list[float] | None


class FieldAtSpot(msgspec.Struct, frozen=True, kw_only=True):
    """The field of the default book at the spot, and what it is made of."""

    gamma_field: float
    vanna_field: float
    charm_field: float
    hedge_pressure: float
    feedback_gain: float | None
    by_strike: StrikeFields
    by_expiry: ExpiryFields
    by_term: TermFields


class BookProfile(msgspec.Struct, frozen=True, kw_only=True):
    """The gamma of one dealer book over prices, where it changes sign, and where it stands thickest."""

    gamma_profile: list[float]
    gamma_profile_sticky_delta: list[float]
    gamma_flips: list[float]
    gamma_flips_sticky_delta: list[float]
    call_wall: float | None
    put_wall: float | None


class BookProfiles(msgspec.Struct, frozen=True):
    """The three dealer books, side by side."""

    naive: BookProfile
    flow: BookProfile
    weighted: BookProfile


class FieldGrid(msgspec.Struct, frozen=True, kw_only=True):
    """The fields of the default book over time (rows) and price (columns), from now to the next settlement."""

    close_ns: int
    instants_ns: list[int]
    prices: list[float]
    gamma_field: list[list[float]]
    vanna_field: list[list[float]]
    charm_field: list[list[float]]


class FieldLandscape(msgspec.Struct, frozen=True, kw_only=True):
    """Every field re-priced over prices, with flips and walls, and over time to the close."""

    stickiness: Literal["strike", "delta"]
    log_step: float
    prices: list[float]
    profiles: BookProfiles
    vanna_profile: list[float]
    vanna_profile_sticky_delta: list[float]
    charm_profile: list[float]
    charm_profile_sticky_delta: list[float]
    gamma_flip: float | None
    gamma_flips: list[float]
    call_wall: float | None
    put_wall: float | None
    zero_dte_gamma_share: float | None
    grid: FieldGrid


class FieldPotential(msgspec.Struct, frozen=True, kw_only=True):
    """The hedging potential of the default book over prices: it is low where hedging pins."""

    prices: list[float]
    hedge_pressure_by_price: list[float]
    potential_by_price: list[float]
    force_by_price: list[float]
    potential_slope_per_s: list[float] | None
    kyle_lambda_by_price: list[float]
    kyle_lambda: float
    kyle_lambda_source: Literal["regression", "depth", "setting"] | None
    screening_length: float
    solver: Literal["transform", "tridiagonal"]


class ExpirySmile(msgspec.Struct, frozen=True, kw_only=True):
    """One expiry of the surface; null where it has no fit."""

    settles_ns: int
    tau: float
    forward: float
    forward_source: str
    rate: float
    carry: float
    atm_vol: float | None
    skew_slope: float | None
    skew_slope_standard_error: float | None
    atm_total_variance: float | None
    ssvi_rho: float | None
    curvature: float | None
    spot_vol_beta: float | None
    spot_vol_beta_standard_error: float | None
    quotes: int
    rmse_vol_points: float | None
    inside_bid_ask_share: float | None
    violations: int
    series: int
    vol_sources: dict[str, int]
    vol_reasons: dict[str, int]
    exercise_error_vol_points: float | None


class FieldSurface(msgspec.Struct, frozen=True, kw_only=True):
    """The vol surface: each expiry with its forward, its smile, and how well it meets the quotes."""

    surface_phi: str
    exercise: Literal["european", "american", "mixed"]
    exercise_method: Literal["none", "de_americanised"]
    series: int
    vol_sources: dict[str, int]
    vol_reasons: dict[str, int]
    violations: int
    expiries: list[ExpirySmile]
    expiries_left_out: int


class Field(msgspec.Struct, frozen=True, kw_only=True):
    """The field of one underlying at one instant of its event time: topic ``field``."""

    underlying: str
    ts_event_ns: int
    spot: float | None
    spot_source: str | None
    default_book: str
    dealer_share: float
    tau_floor_s: float
    at_spot: FieldAtSpot | None
    landscape: FieldLandscape | None
    potential: FieldPotential | None
    surface: FieldSurface | None
    limits: FieldLimits
    quality: Quality
    offsets: Offsets
    engine_version: str
