"""``dhpe backtest …``: scores of the models on recorded markets."""

import json
from pathlib import Path
from typing import Annotated

import typer

from dhpe.command_line import FAILURE, Config, Format, Json, one_line, plan_of
from dhpe.settings import Settings

backtests = typer.Typer(
    name="backtest", help="Score the models on recorded markets.", no_args_is_help=True, pretty_exceptions_enable=False
)


@backtests.command("regime")
def backtest_regime(
    reference: Annotated[Path, typer.Option(metavar="BARS.csv", help="Columns date, close, iv_index, vvix.")],
    output: Annotated[Path, typer.Option(help="Folder of labels.csv, made where missing.")] = Path(),
    as_json: Json = False,
) -> None:
    """Label bars with the seeds' own rules."""
    with one_line():
        from dhpe.backtest import BarsError, regime_reference  # noqa: PLC0415

        try:
            labelled = regime_reference(reference, output)
        except BarsError as error:
            typer.echo(f"dhpe: {error}", err=True)
            raise typer.Exit(FAILURE) from error
        if as_json:
            typer.echo(json.dumps(labelled._asdict()))
            return
        typer.echo(f"{labelled.bars} bars; {len(labelled.near_threshold)} hung on less than 1e-10")
        for name, counts in (("vanna", labelled.vanna_labels), ("crash", labelled.crash_labels)):
            typer.echo(f"{name}: " + ", ".join(f"{label} {count}" for label, count in sorted(counts.items())))


@backtests.command("liquidity")
def backtest_liquidity(
    inputs: Annotated[list[str], typer.Argument(metavar="INPUT...", help="Files or folders; - is standard input.")],
    output: Annotated[Path | None, typer.Option("--output", help="Folder of the report, made where missing.")] = None,
    bar_s: Annotated[float | None, typer.Option(min=0.001, help="Length of the bars; default liquidity_bar_s.")] = None,
    file_format: Format = None,
    as_json: Json = False,
    config: Config = None,
) -> None:
    """Hold the next bar's return against this bar's hedges: the weights of gamma, vanna and charm."""
    with one_line():
        settings = Settings.load(config)
        chosen = plan_of(inputs, file_format)
        from dhpe import backtest_liquidity as scoring  # noqa: PLC0415
        from dhpe.edge import formats  # noqa: PLC0415

        scores = scoring.liquidity(formats.read(chosen), settings.parameters(), bar_s)
        typer.echo(json.dumps(scoring.as_facts(scores)) if as_json else scoring.table(scores))
        if output is not None:
            typer.echo(f"see {scoring.write_report(scores, output)}", err=True)


@backtests.command("side")
def backtest_side(
    inputs: Annotated[
        list[str], typer.Argument(metavar="INPUT...", help="Files or folders with trades of known side.")
    ],
    output: Annotated[Path | None, typer.Option("--output", help="Folder for the report, made where missing.")] = None,
    file_format: Format = None,
    lag_ms: Annotated[float, typer.Option(min=0.0, help="Quotes must be older than this.")] = 0.0,
    as_json: Json = False,
    config: Config = None,
) -> None:
    """Score the trade side rules: accuracy, coverage and Brier of each."""
    with one_line():
        settings = Settings.load(config)
        plan_of(inputs, file_format)
        from dhpe import backtest_side_report as report  # noqa: PLC0415

        result = report.main(inputs, settings.parameters(), output=output, file_format=file_format, lag_ms=lag_ms)
        typer.echo(json.dumps(report.as_json(result)) if as_json else report.table(result))
