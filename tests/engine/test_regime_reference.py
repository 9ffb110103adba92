"""The two seed rules, against the seeds' own pandas code on 15 years of real days and on random bars."""

import csv
import math
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from dhpe.backtest import BarsError, regime_reference
from dhpe.regime_reference import CRASH_LABELS, VANNA_LABELS, CrashRule, VannaRule, crash_regime, vanna_regime

PRICES = st.lists(st.integers(9000, 11000).map(lambda cents: cents / 100) | st.just(math.nan), min_size=1, max_size=90)


def seed_vanna_regime(bars: pd.DataFrame, window: int = 20) -> list[str]:
    """``analyze_vanna_regime`` as it stands in seed 000."""
    spot_ret = bars["close"].pct_change(fill_method=None)
    vol_chg = bars["iv_index"].diff()
    spot_vol_corr = spot_ret.rolling(window).corr(vol_chg)
    regime = pd.Series(index=bars.index, data="Normal")
    mask_accel = (spot_vol_corr < -0.85) & (vol_chg > 0.5)
    regime[mask_accel] = "Vanna_Bulldozer"
    rolling_low = bars["close"].rolling(window).min()
    rolling_iv_max = bars["iv_index"].rolling(window).max()
    mask_burnout = (
        (bars["close"] <= rolling_low) & (bars["iv_index"] < rolling_iv_max) & (regime.shift(1) == "Vanna_Bulldozer")
    )
    regime[mask_burnout] = "Vanna_Burnout"
    return regime.tolist()


def seed_crash_regime(price: pd.Series, vvix: pd.Series, window: int = 5) -> list[str]:
    """``CrashPhysicsDetector.detect_regime`` as it stands in seed 001."""
    vel = price.diff(1).ewm(span=window).mean()
    acc = vel.diff(1).ewm(span=window).mean()
    vvix_slope = vvix.diff(1).ewm(span=window).mean()
    signals = []
    for i in range(len(price)):
        if vel.iloc[i] < 0 and acc.iloc[i] < 0:
            signals.append("REGIME_ACCELERATION (HODL)")
        elif vel.iloc[i] < 0 and acc.iloc[i] > 0 and vvix_slope.iloc[i] < 0:
            signals.append("PHASE_TRANSITION (MONETIZE)")
        else:
            signals.append("NO_SIGNAL")
    return signals


@pytest.fixture(scope="module")
def days(shared_data: Path) -> pd.DataFrame:
    """SPX close, VIX and VVIX of each trading day from 2005 to 2019; VVIX is missing in its first year and on gaps."""
    folder = shared_data / "vol_indices"
    spx = pd.read_csv(folder / "spx.csv", index_col="Date")["Close"]
    vix = pd.read_csv(folder / "vix.csv", index_col="DATE")["CLOSE"]
    vvix = pd.read_csv(folder / "vvix.csv", index_col="DATE")["VVIX"]
    for series in (vix, vvix):
        series.index = pd.to_datetime(series.index, format="%m/%d/%Y").strftime("%Y-%m-%d")
    return pd.DataFrame({"close": spx, "iv_index": vix.reindex(spx.index), "vvix": vvix.reindex(spx.index)})


def array(series: pd.Series) -> np.ndarray:
    """A column as the kernels read it."""
    return np.ascontiguousarray(series.to_numpy(dtype=float))


def test_the_vanna_rule_gives_every_day_the_label_of_the_seed(days: pd.DataFrame) -> None:
    """3,775 days, each the same word; the rule marks some 15 % of them, which is why it is only a baseline."""
    expected = seed_vanna_regime(days)
    labels = vanna_regime(array(days["close"]), array(days["iv_index"]))
    assert [VANNA_LABELS[code] for code in labels.codes] == expected
    assert 0.14 < expected.count("Vanna_Bulldozer") / len(expected) < 0.16


def test_the_crash_rule_gives_every_day_the_label_of_the_seed(days: pd.DataFrame) -> None:
    """The same with missing VVIX days, over which pandas carries its mean."""
    expected = seed_crash_regime(days["close"], days["vvix"])
    labels = crash_regime(array(days["close"]), array(days["vvix"]))
    assert [CRASH_LABELS[code] for code in labels.codes] == expected
    assert set(expected) == set(CRASH_LABELS)


def test_the_days_that_hang_on_round_off_are_listed(days: pd.DataFrame) -> None:
    """A VIX change of exactly half a point is at the threshold; that day is on the list and an ordinary one is not."""
    labels = vanna_regime(array(days["close"]), array(days["iv_index"]))
    half_point = (days["iv_index"].diff() - 0.5).abs() < 1e-10
    assert half_point.sum() >= 1
    assert labels.near_threshold[half_point.to_numpy()].all()
    assert labels.near_threshold.mean() < 0.01


@given(PRICES, PRICES)
def test_the_vanna_rule_follows_pandas_on_random_bars_with_holes(close: list[float], iv: list[float]) -> None:
    """Any mix of missing bars, except where the list says that round-off decides."""
    n = min(len(close), len(iv))
    bars = pd.DataFrame({"close": close[:n], "iv_index": [value / 5 for value in iv[:n]]})
    labels = vanna_regime(array(bars["close"]), array(bars["iv_index"]), 5)
    expected = seed_vanna_regime(bars, 5)
    differ = [i for i in range(n) if VANNA_LABELS[labels.codes[i]] != expected[i]]
    assert all(labels.near_threshold[max(0, i - 1) : i + 1].any() for i in differ)


@given(PRICES, PRICES)
def test_the_crash_rule_follows_pandas_on_random_bars_with_holes(close: list[float], vvix: list[float]) -> None:
    """The arithmetic is that of pandas, so there are no exceptions."""
    n = min(len(close), len(vvix))
    labels = crash_regime(np.array(close[:n]), np.array(vvix[:n]))
    assert [CRASH_LABELS[code] for code in labels.codes] == seed_crash_regime(pd.Series(close[:n]), pd.Series(vvix[:n]))


@given(PRICES, PRICES, st.integers(0, 90))
def test_bar_by_bar_equals_all_at_once_and_never_looks_ahead(close: list[float], iv: list[float], cut: int) -> None:
    """The labels of a prefix are the prefix of the labels, in both forms."""
    n = min(len(close), len(iv))
    x, y = np.array(close[:n]), np.array(iv[:n]) / 5
    vanna, crash = VannaRule(5), CrashRule()
    whole_vanna, whole_crash = vanna_regime(x, y, 5), crash_regime(x, y)
    assert [vanna.on_bar(a, b) for a, b in zip(x, y, strict=True)] == [VANNA_LABELS[c] for c in whole_vanna.codes]
    assert [crash.on_bar(a, b) for a, b in zip(x, y, strict=True)] == [CRASH_LABELS[c] for c in whole_crash.codes]
    np.testing.assert_array_equal(vanna_regime(x[:cut], y[:cut], 5).codes, whole_vanna.codes[:cut])
    np.testing.assert_array_equal(crash_regime(x[:cut], y[:cut]).codes, whole_crash.codes[:cut])


def test_the_kinematics_of_the_last_bar_have_the_bits_of_pandas(days: pd.DataFrame) -> None:
    """Velocity, acceleration and jerk after 500 days."""
    price = days["close"].iloc[:500]
    rule = CrashRule()
    for close in price:
        rule.on_bar(close, 90.0)
    expected = []
    series = price
    for _ in range(3):
        series = series.diff(1).ewm(span=5).mean()
        expected.append(series.iloc[-1])
    assert list(rule.derivatives) == expected


def test_the_reference_command_writes_the_seeds_own_words(days: pd.DataFrame, tmp_path: Path) -> None:
    """A CSV in, labels.csv out: the same dates, the same words; missing values are empty cells."""
    bars = tmp_path / "bars.csv"
    days.to_csv(bars, index_label="date")
    summary = regime_reference(bars, tmp_path / "out")
    with (tmp_path / "out" / "labels.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert [row["date"] for row in rows] == days.index.tolist()
    assert [row["vanna_regime"] for row in rows] == seed_vanna_regime(days)
    assert [row["crash_regime"] for row in rows] == seed_crash_regime(days["close"], days["vvix"])
    assert summary.bars == len(days)
    assert sum(summary.vanna_labels.values()) == len(days)
    with (tmp_path / "out" / "near_threshold.csv").open(newline="") as file:
        assert sorted({row["date"] for row in csv.DictReader(file)}) == summary.near_threshold


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("", r"bars\.csv:1: missing column date, close, iv_index, vvix"),
        ("date,close,vvix\n", r"bars\.csv:1: missing column iv_index"),
        ("date,close,iv_index,vvix\n", r"no bars below the header"),
        ("date,close,iv_index,vvix\n2020-01-02,1,2,3\n2020-01-03,x,2,3\n", r"bars\.csv:3: close is 'x'"),
        ("date,close,iv_index,vvix\n2020-01-02,1,inf,3\n", r"bars\.csv:2: iv_index is 'inf'"),
        ("date,close,iv_index,vvix\n2020-01-02,1,2\n", r"bars\.csv:2: 3 fields where the header has 4"),
        ("date,close,iv_index,vvix\n,1,2,3\n", r"bars\.csv:2: the date is empty"),
        ("date,close,iv_index,vvix\n2020-01-03,1,2,3\n2020-01-02,1,2,3\n", r"bars\.csv:3: 2020-01-02 comes after"),
    ],
)
def test_a_file_that_is_no_bars_says_where_and_what(text: str, sentence: str, tmp_path: Path) -> None:
    """File, line and what to mend; nothing is written."""
    bars = tmp_path / "bars.csv"
    bars.write_text(text)
    with pytest.raises(BarsError, match=sentence):
        regime_reference(bars, tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_a_missing_or_binary_file_is_named(tmp_path: Path) -> None:
    """No traceback of the operating system."""
    with pytest.raises(BarsError, match=r"nowhere\.csv: cannot be read"):
        regime_reference(tmp_path / "nowhere.csv", tmp_path)
    (tmp_path / "binary.csv").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(BarsError, match=r"binary\.csv: is not UTF-8"):
        regime_reference(tmp_path / "binary.csv", tmp_path)
