"""The score of the trade side rules for readers: a table for the terminal, JSON for programs, a page with a curve."""

import html
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

import msgspec

from dhpe.backtest_side import HINDSIGHT, SAME_INSTANT, SWEEPS, Bin, RuleScore, SideScore, score
from dhpe.edge import formats
from dhpe.edge.formats import InputError
from dhpe.parameters import Parameters
from dhpe.recorded_trades import gather
from dhpe.warm import compile_kernels

JSON_FILE: Final = "side.json"
PAGE_FILE: Final = "side.html"
_NS_PER_MS: Final = 1_000_000
_RUINED: Final = 0.01  # of accuracy lost: from here on the report says what the same instant does
_STYLE: Final = (
    "body{font:15px/1.5 system-ui,sans-serif;margin:2rem auto;max-width:70rem;padding:0 1rem;color:#1a1d21}"
    "table{border-collapse:collapse;margin:1rem 0}td,th{padding:.2rem .8rem;text-align:right;"
    "border-bottom:1px solid #d5d9de}td:first-child,th:first-child{text-align:left}"
    "svg{max-width:30rem;width:100%}p{max-width:46rem}"
)


def as_json(result: SideScore) -> dict[str, Any]:
    """``trades``, ``rules`` by name with accuracy, classified, coverage and Brier score, and what is beside them."""
    return {
        "trades": result.trades,
        "rules": {name: scored._asdict() for name, scored in result.rules.items()},
        "without_side": result.without_side,
        "rejected": result.rejected,
        "sweep_parts": result.sweep_parts,
        "quote_late_share": result.quote_late_share,
        "quote_age_median_s": result.quote_age_median_s,
        "by": {
            dimension: {
                group: {
                    rule: {"accuracy": accuracy, "classified": classified}
                    for rule, (accuracy, classified) in rules.items()
                }
                for group, rules in groups.items()
            }
            for dimension, groups in result.by.items()
        },
        "reliability": {name: [each._asdict() for each in bins] for name, bins in result.reliability.items()},
    }


def _percent(share: float | None) -> str:
    return "–" if share is None else f"{100 * share:.2f} %"


def _brier(value: float | None) -> str:
    return "–" if value is None else f"{value:.5f}"


HEADINGS: Final = (
    "rule", "accuracy", "coverage", "classified", "Brier", "Brier, later half", "best constant there", "beats it by"
)  # fmt: skip


def _beats(scored: RuleScore) -> str:
    if scored.brier_later is None or scored.brier_later_best_constant is None:
        return "–"
    error = scored.brier_later_standard_error
    known = "" if error is None else f" ± {error:.5f}"
    return f"{scored.brier_later_best_constant - scored.brier_later:+.5f}{known}"


def rows(result: SideScore) -> list[tuple[str, ...]]:
    """The table of the rules, a row each under ``HEADINGS``."""
    return [
        (
            name, _percent(scored.accuracy), _percent(scored.coverage), f"{scored.classified:,}",
            _brier(scored.brier), _brier(scored.brier_later), _brier(scored.brier_later_best_constant),
            _beats(scored),
        )
        for name, scored in result.rules.items()
    ]  # fmt: skip


def sentences(result: SideScore) -> list[str]:
    """What the numbers say."""
    known = f"{result.trades:,} trades with known side, {result.without_side:,} without"
    told = [f"{known}; {result.rejected:,} records rejected or repeated."]
    if result.quote_late_share is not None:
        told.append(f"{_percent(result.quote_late_share)} of the quotes came after a newer one of their instrument.")
    if result.quote_age_median_s is not None:
        told.append(f"Half of the trades found a quote younger than {1000 * result.quote_age_median_s:.4g} ms.")
    strict, same = result.rules["lee_ready"].accuracy, result.rules[SAME_INSTANT].accuracy
    if strict is not None and same is not None and strict - same > _RUINED:
        told.append(
            f"Lee-Ready is right in {_percent(strict)} of its labels with the quote strictly before the trade. Letting "
            f"in the quote of the same instant, which the trade itself has moved, ruins it: {_percent(same)}."
        )
    told.append(_told_of_sweeps(result))
    told.append(
        "The best constant is chosen with hindsight; beside what p beats it by stands one standard error, from blocks "
        "of time."
    )
    told.append(
        f"{' and '.join(sorted(HINDSIGHT))} wait for the next price in the instrument: live, their side is late."
    )
    return told


def _told_of_sweeps(result: SideScore) -> str:
    if result.sweep_parts == 0:
        return "No trade is a later part of a sweep."
    changes = [
        f"{name.removesuffix('_sweeps')} from {_percent(result.rules[name.removesuffix('_sweeps')].accuracy)} to "
        f"{_percent(result.rules[name].accuracy)}"
        for name in SWEEPS
    ]
    return (
        f"{result.sweep_parts:,} trades are later parts of a sweep; one decision for each takes {', '.join(changes)}."
    )


def table(result: SideScore) -> str:
    """The score as lines of text."""
    lines = [HEADINGS, *rows(result)]
    widths = [max(len(line[column]) for line in lines) for column in range(len(HEADINGS))]
    text = [
        "  ".join(cell.ljust(width) if not column else cell.rjust(width) for column, (cell, width) in enumerate(
            zip(line, widths, strict=True)
        ))
        for line in lines
    ]  # fmt: skip
    return "\n".join([*text, "", *sentences(result)])


def _html_table(headings: Sequence[str], lines: Sequence[Sequence[str]]) -> str:
    head = "".join(f"<th>{html.escape(cell)}</th>" for cell in headings)
    body = "".join("<tr>" + "".join(f"<td>{html.escape(cell)}</td>" for cell in line) + "</tr>" for line in lines)
    return f"<table><tr>{head}</tr>{body}</table>"


def _curve(name: str, bins: Sequence[Bin]) -> str:
    """Share of right labels over their probability, from 0 to 1 both; the area of a dot is its number of labels."""
    most = max(each.labels for each in bins)
    dots = "".join(
        f'<circle cx="{20 + 300 * each.probability:.1f}" cy="{320 - 300 * each.right:.1f}" '
        f'r="{2 + 8 * (each.labels / most) ** 0.5:.1f}" fill="#1f6feb" fill-opacity="0.7">'
        f"<title>{each.labels:,} labels of p {each.probability:.3f}: {each.right:.3f} right</title></circle>"
        for each in bins
    )
    return (
        f'<figure><figcaption>{html.escape(name)}</figcaption><svg viewBox="0 0 340 340" role="img" '
        f'aria-label="Reliability of {html.escape(name)}"><rect x="20" y="20" width="300" height="300" fill="none" '
        f'stroke="#8b949e"/><path d="M20 320L320 20" stroke="#8b949e" stroke-dasharray="4"/>{dots}</svg></figure>'
    )


def page(result: SideScore, inputs: Sequence[str]) -> str:
    """The report as one page that needs nothing else."""
    parts = [f"<p>{html.escape(sentence)}</p>" for sentence in sentences(result)]
    parts.append(_html_table(HEADINGS, rows(result)))
    parts.append(
        "<h2>Reliability</h2><p>How often labels of a probability were right. On the dashed line p is true.</p>"
    )
    parts += [_curve(name, bins) for name, bins in result.reliability.items() if bins]
    for dimension, groups in result.by.items():
        rules = [name for name in result.rules if any(rules[name][1] for rules in groups.values())]
        lines = [
            [group, *(f"{_percent(scores[name][0])} of {scores[name][1]:,}" for name in rules)]
            for group, scores in groups.items()
        ]
        title = dimension.replace("_", " ")
        parts.append(f"<h2>By {title}</h2>{_html_table([title, *rules], lines)}")
    named = html.escape(", ".join(inputs))
    return (
        f'<!doctype html><html lang="en"><meta charset="utf-8"><title>DHPE: trade side</title><style>{_STYLE}</style>'
        f"<h1>Trade side</h1><p>{named}</p>{''.join(parts)}</html>\n"
    )


def main(
    inputs: Sequence[str], parameters: Parameters, *, output: Path | None, file_format: str | None, lag_ms: float
) -> SideScore:
    """``dhpe backtest side``: score the inputs, and with ``output`` write ``side.json`` and ``side.html`` there.

    Raises:
        InputError: an input cannot be used, holds no trade of known side, or the folder cannot be written.
    """
    chosen = formats.plan(inputs, format_name=file_format)
    compile_kernels()
    result = score(gather(formats.read(chosen)), parameters, round(lag_ms * _NS_PER_MS))
    if result.trades == 0:
        raise InputError(f"{', '.join(inputs)}: no trade says its side; a score needs trades with a known aggressor")
    if output is not None:
        try:
            output.mkdir(parents=True, exist_ok=True)
            (output / JSON_FILE).write_bytes(
                msgspec.json.format(msgspec.json.encode(as_json(result)), indent=2) + b"\n"
            )
            (output / PAGE_FILE).write_text(page(result, inputs), encoding="utf-8")
        except OSError as error:
            raise InputError(f"{output}: {(error.strerror or str(error)).lower()}; name another --output") from error
    return result
