"""The command ``dhpe``: reads the call and the settings, then hands over.

Exit 2 for a wrong call or a wrong setting, 1 for a failure, with one line on standard error each. Each command
imports what it needs when it is called, so that ``--help`` and a wrong call answer at once.
"""

import json
import sys
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Final

import typer

from dhpe import __version__
from dhpe.settings import Settings, SettingsError

if TYPE_CHECKING:
    from dhpe.columns import Batch
    from dhpe.edge.formats import Plan

SIMULATE: Final = "simulate"
WRONG_CALL: Final = 2
FAILURE: Final = 1

cli = typer.Typer(
    name="dhpe",
    help="Dealer Hedge-Pressure Engine: what option dealers' hedging does to the market, with an error bar.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)

backtests = typer.Typer(
    name="backtest", help="Score the models on recorded markets.", no_args_is_help=True, pretty_exceptions_enable=False
)
cli.add_typer(backtests)

Config = Annotated[Path | None, typer.Option("--config", help="TOML file of settings; the environment beats it.")]
HttpHost = Annotated[str | None, typer.Option(help="Address of the API and the page.")]
HttpPort = Annotated[int | None, typer.Option(help="Port of the API and the page; 0 takes a free one.")]
Format = Annotated[str | None, typer.Option("--format", help="jsonl, lean, cboe, dbn, binance or deribit.")]
Json = Annotated[bool, typer.Option("--json", help="For programs.")]


def _version(*, asked: bool) -> None:
    if asked:
        typer.echo(f"dhpe {__version__}")
        raise typer.Exit


@cli.callback()
def _options(
    *, version: Annotated[bool, typer.Option("--version", callback=lambda asked: _version(asked=asked))] = False
) -> None:
    del version


@cli.command()
def run(config: Config = None, http_host: HttpHost = None, http_port: HttpPort = None) -> None:
    """Work on the log (Kafka, or the embedded one where none is named) and serve the API."""
    with _one_line():
        settings = _settings(config, http_host=http_host, http_port=http_port)
        from dhpe import app  # noqa: PLC0415

        app.run(settings)


@cli.command()
def serve(config: Config = None, http_host: HttpHost = None, http_port: HttpPort = None) -> None:
    """Serve the API alone, from the output topics."""
    with _one_line():
        settings = _settings(config, http_host=http_host, http_port=http_port)
        from dhpe import app  # noqa: PLC0415

        app.serve(settings)


@cli.command()
def demo(
    duration: Annotated[float | None, typer.Option(min=0.0, help="Seconds until it ends by itself.")] = None,
    speed: Annotated[float, typer.Option(min=0.1, max=100.0, help="Event time over wall time.")] = 1.0,
    config: Config = None,
    http_host: HttpHost = None,
    http_port: HttpPort = None,
) -> None:
    """Show a simulated market live, without a broker."""
    with _one_line():
        settings = _settings(config, http_host=http_host, http_port=http_port)
        from dhpe import app  # noqa: PLC0415

        app.demo(settings, duration, speed=speed)


@cli.command()
def feed(
    sources: Annotated[list[str], typer.Argument(metavar="SOURCE...", help="simulate, or files; - is standard input.")],
    speed: Annotated[
        float | None, typer.Option(min=0.0, help="Event time over wall time; files default to as fast as it goes.")
    ] = None,
    file_format: Format = None,
    records_per_message: Annotated[int, typer.Option(min=1, help="More than 1 makes array messages.")] = 1,
    config: Config = None,
) -> None:
    """Put a source on the input topics."""
    with _one_line():
        settings = _settings(config)
        if SIMULATE in sources and len(sources) > 1:
            raise typer.BadParameter("`simulate` is a source of its own: name it alone")
        from dhpe import app  # noqa: PLC0415
        from dhpe.edge import formats  # noqa: PLC0415
        from dhpe.edge.feeds import FeedRules  # noqa: PLC0415

        live = sources == [SIMULATE]
        batches = _simulated() if live else formats.read(_plan(sources, file_format))
        rules = FeedRules(
            speed=(1.0 if live else None) if speed is None else speed,
            closing_ms=None if live else settings.pressure_interval_ms,
            topic_prefix=settings.topic_prefix,
            records_per_message=records_per_message,
        )
        fed = app.feed(settings, batches, rules)
        typer.echo(f"{fed.records} records in {fed.messages} messages, {fed.rejected} rejected")


@cli.command()
def topics(
    check: Annotated[bool, typer.Option("--check", help="Change nothing, only compare.")] = False,
    config: Config = None,
) -> None:
    """Make the topics on Kafka that are missing, and check them all."""
    with _one_line():
        settings = _settings(config)
        import asyncio  # noqa: PLC0415

        from dhpe.edge.log_lines import configure  # noqa: PLC0415
        from dhpe.edge.topics import check_topics, create_topics  # noqa: PLC0415

        configure(settings)
        for name in [] if check else asyncio.run(create_topics(settings)):
            typer.echo(f"made {name}")
        faults = asyncio.run(check_topics(settings))
        for fault in faults:
            typer.echo(fault, err=True)
        if faults:
            raise typer.Exit(FAILURE)
        typer.echo("all topics are as they must be")


@cli.command()
def replay(
    inputs: Annotated[list[str], typer.Argument(metavar="INPUT...", help="Files or folders; - is standard input.")],
    output: Annotated[Path, typer.Option("--output", help="Folder of the results, made where missing.")],
    file_format: Format = None,
    speed: Annotated[
        float | None, typer.Option(min=0.0, help="Event time over wall time; default: no waiting.")
    ] = None,
    spot: Annotated[float | None, typer.Option(min=0.0, help="cboe: the spot, where the file has none.")] = None,
    as_of: Annotated[
        str | None, typer.Option(help="cboe: when the chain was taken, where the file does not say.")
    ] = None,
    underlying: Annotated[str | None, typer.Option(help="The name, where the files have none.")] = None,
    config: Config = None,
) -> None:
    """Send files through the same engine, without a log."""
    with _one_line():
        settings = _settings(config)
        _plan(inputs, file_format)
        from dhpe import replay as replaying  # noqa: PLC0415

        replaying.main(
            inputs,
            output,
            format=file_format,
            speed=speed,
            spot=spot,
            as_of=as_of,
            underlying=underlying,
            settings=settings,
        )


@backtests.command("regime")
def backtest_regime(
    reference: Annotated[Path, typer.Option(metavar="BARS.csv", help="Columns date, close, iv_index, vvix.")],
    output: Annotated[Path, typer.Option(help="Folder of labels.csv, made where missing.")] = Path(),
    as_json: Json = False,
) -> None:
    """Label bars with the seeds' own rules."""
    with _one_line():
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
    with _one_line():
        settings = _settings(config)
        chosen = _plan(inputs, file_format)
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
    with _one_line():
        settings = _settings(config)
        _plan(inputs, file_format)
        from dhpe import backtest_side_report as report  # noqa: PLC0415

        result = report.main(inputs, settings.parameters(), output=output, file_format=file_format, lag_ms=lag_ms)
        typer.echo(json.dumps(report.as_json(result)) if as_json else report.table(result))


@cli.command()
def schemas(
    folder: Annotated[Path, typer.Argument(help="Where the contracts lie.")] = Path("schemas"),
    *,
    check: Annotated[bool, typer.Option("--check", help="Write nothing, only compare.")] = False,
    accept_incompatible: Annotated[bool, typer.Option(help="Write although old readers or writers break.")] = False,
) -> None:
    """Write the wire contracts, or check that they have not drifted."""
    with _one_line():
        from dhpe.edge import schemas as contracts  # noqa: PLC0415

        if check:
            faults = contracts.check(folder)
            for fault in faults:
                typer.echo(fault, err=True)
            raise typer.Exit(FAILURE if faults else 0)
        try:
            written = contracts.write(folder, accept_incompatible=accept_incompatible)
        except contracts.IncompatibleChange as error:
            typer.echo(f"dhpe: {error}", err=True)
            raise typer.Exit(FAILURE) from error
        typer.echo(f"{len(written)} files in {folder}")


@cli.command()
def doctor(as_json: Json = False, config: Config = None) -> None:
    """Show every setting with its origin, and check the surroundings."""
    with _one_line():
        settings = _settings(config)
        from dhpe import doctor as examining  # noqa: PLC0415

        raise typer.Exit(examining.main(settings, as_json))


@cli.command()
def bench(as_json: Json = False, config: Config = None) -> None:
    """Measure this machine: each figure beside a baseline of the same run."""
    with _one_line():
        settings = _settings(config)
        from dhpe import bench as benchmarks  # noqa: PLC0415

        figures = benchmarks.measure(settings.parameters())
        typer.echo(json.dumps([figure._asdict() for figure in figures]) if as_json else benchmarks.table(figures))


@cli.command()
def kernels() -> None:
    """Compile the kernels, once for a state of their sources."""
    with _one_line():
        from dhpe.warm import compile_kernels  # noqa: PLC0415

        compile_kernels()


@contextmanager
def _one_line() -> Iterator[None]:
    """Tell a failure in one line; what is not foreseen keeps its traceback."""
    try:
        yield
    except SettingsError as error:
        typer.echo(f"dhpe: {error}", err=True)
        raise typer.Exit(WRONG_CALL) from error
    except OSError as error:
        where = f"{error.filename}: " if error.filename else ""
        typer.echo(f"dhpe: {where}{error.strerror or error}", err=True)
        raise typer.Exit(FAILURE) from error
    except Exception as error:
        from dhpe.edge.formats import InputError  # noqa: PLC0415
        from dhpe.edge.log import LogError  # noqa: PLC0415

        if not isinstance(error, LogError | InputError):
            raise
        typer.echo(f"dhpe: {error}", err=True)
        raise typer.Exit(FAILURE) from error


def _settings(config: Path | None, **given: Any) -> Settings:
    return Settings.load(config, **given)


def _simulated() -> "Iterable[Batch]":
    import time  # noqa: PLC0415

    from dhpe.simulate import SimulationSettings, simulate  # noqa: PLC0415

    return simulate(SimulationSettings(), time.time_ns())


def _plan(inputs: list[str], file_format: str | None) -> "Plan":
    """What the call names; a file that is not there or a format that is not known makes it a wrong call."""
    from dhpe.edge import formats  # noqa: PLC0415

    try:
        return formats.plan(inputs, format_name=file_format)
    except formats.InputError as error:
        typer.echo(f"dhpe: {error}", err=True)
        raise typer.Exit(WRONG_CALL) from error


def main() -> None:
    """Entry point of the console script."""
    cli()


if __name__ == "__main__":
    sys.exit(main())  # type: ignore[func-returns-value]
