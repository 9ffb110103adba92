"""The regime machine as a table: states, transitions, protocol, and the checks behind the confidence.

Every condition compares one evidence number (``numerics.regime_rows.EVIDENCE``) with one threshold, so that an alert
can show both. A comparison with an unknown number does not hold; a condition marked ``where_known`` is left out
instead, because a market without that source (no VVIX, no order book) must still be read. Source: MODEL.md section 10,
seeds 000 and 001.
"""

from typing import Final, Literal, NamedTuple

from dhpe.outputs import Regime
from dhpe.parameters import Parameters

State = Regime
Protocol = Literal["hold", "monetize_partial", "exit_full"]
Severity = Literal["info", "warning", "critical"]
Comparison = Literal["<", "<=", ">", ">="]

STATES: Final[tuple[State, ...]] = ("normal", "bulldozer", "burnout", "phase_transition")


class Condition(NamedTuple):
    """``evidence`` compared with ``threshold``, a name of ``thresholds`` or of a limit in the evidence."""

    evidence: str
    comparison: Comparison
    threshold: str
    where_known: bool = False


class Rule(NamedTuple):
    """A transition that happens when all conditions hold; several rules with one end are alternatives."""

    to_state: State
    from_states: tuple[State, ...]
    conditions: tuple[Condition, ...]
    severity: Severity
    waits: bool
    reason: str


class ProtocolRule(NamedTuple):
    """Advice to the owner of long vol; the first rule in the table that holds is the advice."""

    protocol: Protocol
    conditions: tuple[Condition, ...]
    severity: Severity
    waits: bool
    reason: str


def thresholds(parameters: Parameters) -> dict[str, float]:
    """The numbers that do not scale with the underlying, by name."""
    return {
        "zero": 0.0,
        "correlation_max": parameters.regime_correlation,
        "spot_vol_sync_min": 0.8,
        "bars_since_vol_high_min": 2.0,
        "new_low": 1.0,
        "rebound_share_turned": 0.25,
        "rebound_share_reversal": 0.5,
        "vol_retreat_share_begun": 0.1,
        "vol_retreat_share_reversal": 0.5,
        "quiet_bars_min": 1.0,
        "bars_since_drive_stale": float(parameters.regime_window_bars),
        "quiet_bars_long": 2.0 * parameters.regime_window_bars,
        "depth_ratio_broken": 0.25,
        "depth_ratio_refilled": 0.5,
        "depth_ratio_normal": 0.6,
        "spread_ratio_broken": 4.0,
        "spread_ratio_normal": 2.0,
        "refresh_rate_dead": 0.2,
        "refresh_rate_alive": 0.5,
        "cancel_share_fleeing": 0.7,
        "vol_reversion_breath": 0.5,
        "realised_far_over_implied": 1.5,
    }


FALLING_WITH_RISING_VOL: Final = (
    Condition("spot_move_log", "<=", "spot_move_limit_log"),
    Condition("vol_move_points", ">=", "vol_move_limit_points"),
    Condition("spot_return_log", "<", "zero"),
    Condition("vol_change_points", ">=", "zero"),
    # Inside an episode only a new high of vol starts the machine again.
    Condition("bars_since_vol_high", "<=", "zero", where_known=True),
)
QUIET: Final = Condition("quiet_bars", ">=", "quiet_bars_min")
LONG_QUIET: Final = Condition("quiet_bars", ">=", "quiet_bars_long")
VOL_BACK: Final = Condition("vol_retreat_share", ">=", "vol_retreat_share_reversal")
PRICE_BACK: Final = Condition("rebound_share", ">=", "rebound_share_reversal")
VOL_FALLING: Final = Condition("vol_slope", "<", "zero")
VVIX_FALLING: Final = Condition("vvix_slope", "<", "zero", where_known=True)
DEPTH_REFILLED: Final = Condition("depth_ratio", ">=", "depth_ratio_refilled", where_known=True)
CALM_BOOK: Final = (
    Condition("depth_ratio", ">=", "depth_ratio_refilled", where_known=True),
    Condition("spread_ratio", "<=", "spread_ratio_normal", where_known=True),
)

TRANSITIONS: Final = (
    Rule(
        "bulldozer",
        ("normal", "burnout", "phase_transition"),
        (*FALLING_WITH_RISING_VOL, Condition("spot_vol_correlation", "<", "correlation_max")),
        "critical",
        True,
        "Spot moved {spot_move_log:.2%} while vol rose {vol_move_points:.2f} points, both beyond what the calm before"
        " allows, with a correlation of {spot_vol_correlation:.2f}: falling price and rising vol drive each other.",
    ),
    Rule(
        "bulldozer",
        ("normal", "burnout", "phase_transition"),
        (*FALLING_WITH_RISING_VOL, Condition("spot_vol_sync", ">=", "spot_vol_sync_min")),
        "critical",
        True,
        "Spot moved {spot_move_log:.2%} while vol rose {vol_move_points:.2f} points, both beyond what the calm before"
        " allows, and {spot_vol_sync:.0%} of the ticks went opposite ways: falling price and rising vol drive each"
        " other.",
    ),
    Rule(
        "burnout",
        ("bulldozer",),
        (
            Condition("spot_new_low", ">=", "new_low"),
            Condition("bars_since_vol_high", ">=", "bars_since_vol_high_min"),
            Condition("divergence_log", "<=", "divergence_limit_log"),
        ),
        "critical",
        False,  # the most dangerous moment for the short side: said at once
        "Spot is at a new low, {divergence_log:.2%} from where vol had its high {bars_since_vol_high:.0f} bars ago,"
        " and vol no longer follows: the vanna drive has burnt out.",
    ),
    Rule(
        "phase_transition",
        ("burnout",),
        (
            Condition("acceleration", ">", "zero"),
            VOL_FALLING,
            Condition("vol_retreat_share", ">=", "vol_retreat_share_begun"),
            VVIX_FALLING,
            DEPTH_REFILLED,
        ),
        "warning",
        True,
        "The fall decelerates ({acceleration:+.3g} points per bar²) and vol has given back {vol_retreat_share:.0%} of"
        " its rise: the inertia of the crash is ending.",
    ),
    Rule(
        "phase_transition",
        ("burnout",),
        (
            Condition("rebound_share", ">=", "rebound_share_turned"),
            VOL_FALLING,
            Condition("vol_retreat_share", ">=", "vol_retreat_share_begun"),
        ),
        "warning",
        True,
        "Spot has regained {rebound_share:.0%} of its fall and vol has given back {vol_retreat_share:.0%} of its rise:"
        " the inertia of the crash is ending.",
    ),
    Rule(
        "normal",
        ("bulldozer", "burnout", "phase_transition"),
        (VOL_BACK, PRICE_BACK, QUIET, *CALM_BOOK),
        "info",
        True,
        "Spot has regained {rebound_share:.0%} of its fall and vol has given back {vol_retreat_share:.0%} of its rise:"
        " the market breathes again.",
    ),
    Rule(
        "normal",
        ("bulldozer",),
        (Condition("bars_since_drive", ">=", "bars_since_drive_stale"),),
        "info",
        True,
        "For {bars_since_drive:.0f} bars falling price and rising vol have not come together beyond their limits.",
    ),
    Rule(
        "normal",
        ("bulldozer", "burnout", "phase_transition"),
        (LONG_QUIET,),
        "info",
        True,
        "For {quiet_bars:.0f} bars neither spot nor vol has made half a move of the size that started the episode.",
    ),
)

PROTOCOLS: Final = (
    ProtocolRule(
        "hold",
        (
            Condition("velocity", "<", "zero"),
            Condition("acceleration", "<", "acceleration_limit"),
            Condition("acceleration_growth", ">", "zero"),
        ),
        "warning",
        False,
        "Hold: the fall accelerates ({acceleration:+.3g} points per bar²) and the acceleration grows.",
    ),
    ProtocolRule(
        "hold",
        (Condition("vvix_move_points", ">=", "vvix_move_limit_points"), Condition("vvix_slope", ">", "zero")),
        "warning",
        False,
        "Hold: VVIX surges, {vvix_move_points:.1f} points within the last bars.",
    ),
    ProtocolRule(
        "hold",
        (Condition("depth_ratio", "<", "depth_ratio_broken"),),
        "warning",
        False,
        "Hold: liquidity is broken, the best bid holds {depth_ratio:.0%} of its median size.",
    ),
    ProtocolRule(
        "hold",
        (Condition("spread_ratio", ">=", "spread_ratio_broken"),),
        "warning",
        False,
        "Hold: liquidity is broken, the spread is {spread_ratio:.1f} times its median.",
    ),
    ProtocolRule(
        "hold",
        (
            Condition("refresh_rate", "<", "refresh_rate_dead"),
            Condition("cancel_share", ">", "cancel_share_fleeing"),
        ),
        "warning",
        False,
        "Hold: liquidity is broken, {cancel_share:.0%} of what left the best bid was pulled and {refresh_rate:.0%}"
        " came back.",
    ),
    ProtocolRule(
        "exit_full",
        (
            PRICE_BACK,
            VOL_BACK,
            Condition("episode_realised_to_implied", ">=", "realised_far_over_implied"),
            Condition("depth_ratio", ">=", "depth_ratio_normal", where_known=True),
            Condition("spread_ratio", "<=", "spread_ratio_normal", where_known=True),
        ),
        "warning",
        True,
        "Exit: the reversal is confirmed ({rebound_share:.0%} of the fall regained), depth is normal and realised vol"
        " was {episode_realised_to_implied:.1f} times what is implied now.",
    ),
    ProtocolRule(
        "monetize_partial",
        (
            Condition("velocity", "<", "zero"),
            Condition("acceleration_growth", "<", "zero"),
            VOL_FALLING,
            VVIX_FALLING,
            DEPTH_REFILLED,
        ),
        "warning",
        True,
        "Monetize 30 to 50 %: the fall loses force ({velocity:+.3g} points per bar, acceleration shrinking) and vol"
        " falls; sell high-delta in-the-money puts, buy low-delta out-of-the-money puts.",
    ),
)

DRIVEN: Final = (
    Condition("spot_vol_correlation", "<", "correlation_max"),
    Condition("spot_vol_sync", ">=", "spot_vol_sync_min"),
    Condition("velocity", "<", "zero"),
    Condition("acceleration", "<", "zero"),
    Condition("vol_slope", ">", "zero"),
    Condition("vvix_slope", ">", "zero"),
    Condition("restoring_coefficient", "<", "zero"),
    Condition("vol_reversion_on_bounce", "<", "vol_reversion_breath"),
    Condition("refresh_rate", "<", "refresh_rate_alive"),
    Condition("cancel_share", ">", "cancel_share_fleeing"),
    Condition("depth_ratio", "<", "depth_ratio_refilled"),
    Condition("spread_ratio", ">", "spread_ratio_normal"),
    Condition("feedback_gain_low", ">", "zero"),
)
"""What a runaway market looks like; ``normal`` is the opposite of it."""

BURNT_OUT: Final = (
    Condition("spot_new_low", ">=", "new_low"),
    Condition("divergence_log", "<=", "divergence_limit_log"),
    Condition("vol_move_points", "<", "vol_move_limit_points"),
    Condition("vvix_slope", "<", "zero"),
    Condition("acceleration", ">", "zero"),
    Condition("vvix_move_points", "<", "vvix_move_limit_points"),
    Condition("refresh_rate", ">=", "refresh_rate_alive"),
    Condition("cancel_share", "<=", "cancel_share_fleeing"),
)
"""What a fall looks like that vol no longer drives."""

SPENT: Final = (
    Condition("acceleration", ">", "zero"),
    Condition("vol_slope", "<=", "zero"),
    Condition("vvix_slope", "<", "zero"),
    Condition("restoring_coefficient", ">", "zero"),
    Condition("vol_reversion_on_bounce", ">=", "vol_reversion_breath"),
    Condition("refresh_rate", ">=", "refresh_rate_alive"),
    Condition("cancel_share", "<=", "cancel_share_fleeing"),
    Condition("depth_ratio", ">=", "depth_ratio_refilled"),
    Condition("spread_ratio", "<=", "spread_ratio_normal"),
)
"""What a market looks like whose drive has ended."""

SYMPTOMS: Final[dict[State, tuple[Condition, ...]]] = {
    "bulldozer": DRIVEN,
    "burnout": BURNT_OUT,
    "phase_transition": SPENT,
}
"""The checks behind the confidence in each state; ``normal`` is the absence of DRIVEN."""
