"""The worked example of topic ``field``: one call and one put, for the schemas, the documents and the tests."""

from typing import Final

from dhpe.field_outputs import (
    BookProfile,
    BookProfiles,
    ExpiryFields,
    ExpirySmile,
    Field,
    FieldAtSpot,
    FieldColumns,
    FieldGrid,
    FieldLandscape,
    FieldLimits,
    FieldPotential,
    FieldSurface,
    StrikeFields,
    TermFields,
)
from dhpe.outputs import Offsets, Quality

_TIME_NS: Final = 1_787_241_600_000_000_000
_SETTLES_NS: Final = 1_789_761_600_000_000_000
_PRICES: Final = [6513.6, 6520.1, 6526.6]
_GAMMA: Final = [-5.1e11, -5e11, -4.8e11]
_VANNA: Final = [-2.2e11, -2.1e11, -2e11]
_CHARM: Final = [4.3e11, 4.2e11, 4.1e11]

_AT_SPOT: Final = FieldAtSpot(
    gamma_field=-5e11,
    vanna_field=-2.1e11,
    charm_field=4.2e11,
    hedge_pressure=5e11,
    feedback_gain=0.25,
    by_strike=StrikeFields(
        strikes=[6500.0, 6600.0],
        calls=FieldColumns(gamma_field=[0.0, 2e11], vanna_field=[0.0, 0.9e11], charm_field=[0.0, -1.8e11]),
        puts=FieldColumns(gamma_field=[-7e11, 0.0], vanna_field=[-3e11, 0.0], charm_field=[6e11, 0.0]),
        strikes_left_out=0,
    ),
    by_expiry=ExpiryFields(
        settles_ns=[_SETTLES_NS],
        series=[2],
        gamma_field=[-5e11],
        vanna_field=[-2.1e11],
        charm_field=[4.2e11],
        hedge_pressure=[5e11],
        feedback_gain=[0.25],
        expiries_left_out=0,
    ),
    by_term=TermFields(
        terms=["8 to 30 days"],
        series=[2],
        gamma_field=[-5e11],
        vanna_field=[-2.1e11],
        charm_field=[4.2e11],
        hedge_pressure=[5e11],
        feedback_gain=[0.25],
    ),
)

_PROFILE: Final = BookProfile(
    gamma_profile=_GAMMA,
    gamma_profile_sticky_delta=_GAMMA,
    gamma_flips=[6570.4],
    gamma_flips_sticky_delta=[6571.2],
    call_wall=6600.0,
    put_wall=6500.0,
)

_LANDSCAPE: Final = FieldLandscape(
    stickiness="strike",
    log_step=1e-3,
    prices=_PRICES,
    profiles=BookProfiles(naive=_PROFILE, flow=_PROFILE, weighted=_PROFILE),
    vanna_profile=_VANNA,
    vanna_profile_sticky_delta=_VANNA,
    charm_profile=_CHARM,
    charm_profile_sticky_delta=_CHARM,
    gamma_flip=6570.4,
    gamma_flips=[6570.4],
    call_wall=6600.0,
    put_wall=6500.0,
    zero_dte_gamma_share=0.0,
    grid=FieldGrid(
        close_ns=_SETTLES_NS,
        instants_ns=[_TIME_NS, _SETTLES_NS - 1],
        prices=_PRICES,
        gamma_field=[_GAMMA, [-8e11, -6e11, 1e11]],
        vanna_field=[_VANNA, [-1e10, -1e10, 1e10]],
        charm_field=[_CHARM, [9e12, 7e12, -1e12]],
    ),
)

_POTENTIAL: Final = FieldPotential(
    prices=_PRICES,
    hedge_pressure_by_price=[5.1e11, 5e11, 4.8e11],
    potential_by_price=[2.6e-5, 2.5e-5, 2.4e-5],
    force_by_price=[1e-3, 1e-3, 1e-3],
    potential_slope_per_s=[1e-12, 1e-12, 1e-12],
    kyle_lambda_by_price=[5e-13, 5e-13, 5e-13],
    kyle_lambda=5e-13,
    kyle_lambda_source="regression",
    screening_length=0.01,
    solver="transform",
)

_SURFACE: Final = FieldSurface(
    surface_phi="by_expiry",
    exercise="european",
    exercise_method="none",
    series=2,
    vol_sources={"own_quote": 2},
    vol_reasons={"solved": 2},
    violations=0,
    expiries=[
        ExpirySmile(
            settles_ns=_SETTLES_NS,
            tau=0.0799,
            forward=6541.25,
            forward_source="parity",
            rate=0.0415,
            carry=0.0293,
            atm_vol=0.12,
            skew_slope=-0.9,
            skew_slope_standard_error=0.01,
            atm_total_variance=0.00115,
            ssvi_rho=-0.5,
            curvature=35.0,
            spot_vol_beta=-0.45,
            spot_vol_beta_standard_error=0.45,
            quotes=2,
            rmse_vol_points=0.2,
            inside_bid_ask_share=1.0,
            violations=0,
            series=2,
            vol_sources={"own_quote": 2},
            vol_reasons={"solved": 2},
            exercise_error_vol_points=0.0,
        )
    ],
    expiries_left_out=0,
)

FIELD: Final = Field(
    underlying="SPX",
    ts_event_ns=_TIME_NS,
    spot=6520.125,
    spot_source="quote",
    default_book="weighted",
    dealer_share=1.0,
    tau_floor_s=300.0,
    at_spot=_AT_SPOT,
    landscape=_LANDSCAPE,
    potential=_POTENTIAL,
    surface=_SURFACE,
    limits=FieldLimits(strikes_max=1000, expiries_max=200, points_max=401, grid_points_max=101, grid_instants=9),
    quality=Quality(status="ok", reasons=[]),
    offsets=Offsets(partition=7, chain=30_211, ticks=1_204_551),
    engine_version="0.1.0+3f2a9c51d07e",
)
