"""The command ``dhpe``: reads the call and the settings, then hands over.

Exit 2 for a wrong call or a wrong setting, 1 for a failure, with one line on standard error each. Each command
imports what it needs when it is called, so that ``--help`` and a wrong call answer at once.
"""

import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Final

import typer

from dhpe import __version__
from dhpe.backtest_commands import backtests
from dhpe.command_line import FAILURE, Config, Format, HttpHost, HttpPort, Json, one_line, plan_of
from dhpe.settings import Settings

if TYPE_CHECKING:
    from dhpe.columns import Batch

SIMULATE: Final = "simulate"

cli = typer.Typer(
    name="dhpe",
    help="Dealer Hedge-Pressure Engine: what option dealers' hedging does to the market, with an error bar.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)

cli.add_typer(backtests)


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
    with one_line():
        settings = Settings.load(config, http_host=http_host, http_port=http_port)
        from dhpe import app  # noqa: PLC0415

        app.run(settings)


@cli.command()
def serve(config: Config = None, http_host: HttpHost = None, http_port: HttpPort = None) -> None:
    """Serve the API alone, from the output topics."""
    with one_line():
        settings = Settings.load(config, http_host=http_host, http_port=http_port)
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
    with one_line():
        settings = Settings.load(config, http_host=http_host, http_port=http_port)
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
    *,
    columns: Annotated[bool, typer.Option("--columns", help="Ticks as packed columns, one kind a message.")] = False,
) -> None:
    """Put a source on the input topics."""
    with one_line():
        settings = Settings.load(config)
        if SIMULATE in sources and len(sources) > 1:
            raise typer.BadParameter("`simulate` is a source of its own: name it alone")
        from dhpe import app  # noqa: PLC0415
        from dhpe.edge import formats  # noqa: PLC0415
        from dhpe.edge.feeds import FeedRules  # noqa: PLC0415

        live = sources == [SIMULATE]
        batches = _simulated() if live else formats.read(plan_of(sources, file_format))
        rules = FeedRules(
            speed=(1.0 if live else None) if speed is None else speed,
            closing_ms=None if live else settings.pressure_interval_ms,
            topic_prefix=settings.topic_prefix,
            records_per_message=records_per_message,
            packed=columns,
        )
        fed = app.feed(settings, batches, rules)
        typer.echo(f"{fed.records} records in {fed.messages} messages, {fed.rejected} rejected")


@cli.command()
def topics(
    check: Annotated[bool, typer.Option("--check", help="Change nothing, only compare.")] = False,
    config: Config = None,
) -> None:
    """Make the topics on Kafka that are missing, and check them all."""
    with one_line():
        settings = Settings.load(config)
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
def replay(  # noqa: PLR0913, PLR0917 - the options of the command
    inputs: Annotated[
        list[str] | None, typer.Argument(metavar="INPUT...", help="Files or folders; - is standard input.")
    ] = None,
    output: Annotated[Path | None, typer.Option("--output", help="Folder of the results, made where missing.")] = None,
    file_format: Format = None,
    from_kafka: Annotated[
        bool,
        typer.Option("--from-kafka", help="Instead of files: the state of --underlying in the log, --at a moment."),
    ] = False,
    at: Annotated[
        str | None, typer.Option(help="An instant, nanoseconds, or offsets such as chain=1265,ticks=48589.")
    ] = None,
    speed: Annotated[
        float | None, typer.Option(min=0.0, help="Event time over wall time; default: no waiting.")
    ] = None,
    spot: Annotated[float | None, typer.Option(min=0.0, help="cboe: the spot, where the file has none.")] = None,
    as_of: Annotated[
        str | None, typer.Option(help="cboe: when the chain was taken, where the file does not say.")
    ] = None,
    underlying: Annotated[str | None, typer.Option(help="The name, where the files have none.")] = None,
    config: Config = None,
    *,
    fields: Annotated[bool, typer.Option("--fields", help="Write fields.jsonl: the whole field at the end.")] = False,
) -> None:
    """Send files through the same engine, without a log; or show a state as it was, from the log."""
    with one_line():
        settings = Settings.load(config)
        if from_kafka:
            _as_it_was(settings, underlying, at, inputs)
            return
        if output is None:
            raise typer.BadParameter("files need --output, the folder of the results")
        inputs = inputs or []
        plan_of(inputs, file_format)
        from dhpe import replay as replaying  # noqa: PLC0415

        replaying.main(
            inputs,
            output,
            format=file_format,
            speed=speed,
            spot=spot,
            as_of=as_of,
            underlying=underlying,
            fields=fields,
            settings=settings,
        )


@cli.command()
def explain(
    alert_id: Annotated[str, typer.Argument(metavar="ALERT_ID", help="The id of an alert that the log still has.")],
    as_json: Json = False,
    config: Config = None,
) -> None:
    """Compute an alert anew from the log, and show its evidence beside what was published."""
    with one_line():
        settings = Settings.load(config)
        import msgspec  # noqa: PLC0415

        from dhpe import questions  # noqa: PLC0415

        explanation = questions.explain(settings, alert_id)
        if explanation is None:
            typer.echo(f"dhpe: no alert in the log has the id {alert_id!r}", err=True)
            raise typer.Exit(FAILURE)
        typer.echo(msgspec.json.encode(explanation) if as_json else questions.as_text(explanation))
        raise typer.Exit(FAILURE if explanation.bit_equal is False else 0)


@cli.command()
def schemas(
    folder: Annotated[Path, typer.Argument(help="Where the contracts lie.")] = Path("schemas"),
    *,
    check: Annotated[bool, typer.Option("--check", help="Write nothing, only compare.")] = False,
    accept_incompatible: Annotated[bool, typer.Option(help="Write although old readers or writers break.")] = False,
) -> None:
    """Write the wire contracts, or check that they have not drifted."""
    with one_line():
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
    with one_line():
        settings = Settings.load(config)
        from dhpe import doctor as examining  # noqa: PLC0415

        raise typer.Exit(examining.main(settings, as_json))


@cli.command()
def bench(as_json: Json = False, config: Config = None) -> None:
    """Measure this machine: each figure beside a baseline of the same run."""
    with one_line():
        settings = Settings.load(config)
        from dhpe import bench as benchmarks  # noqa: PLC0415

        figures = benchmarks.measure(settings.parameters())
        typer.echo(json.dumps([figure._asdict() for figure in figures]) if as_json else benchmarks.table(figures))


@cli.command()
def kernels() -> None:
    """Compile the kernels, once for a state of their sources."""
    with one_line():
        from dhpe.warm import compile_kernels  # noqa: PLC0415

        compile_kernels()


def _as_it_was(settings: Settings, underlying: str | None, at: str | None, inputs: list[str] | None) -> None:
    if underlying is None or at is None or inputs:
        raise typer.BadParameter("--from-kafka takes --underlying and --at, and no files")
    import msgspec  # noqa: PLC0415

    from dhpe import questions  # noqa: PLC0415

    try:
        moment = questions.moment(at)
    except ValueError as error:
        raise typer.BadParameter(str(error), param_hint="--at") from error
    typer.echo(msgspec.json.encode(questions.state_at(settings, underlying, moment)))


def _simulated() -> "Iterator[Batch]":
    import time  # noqa: PLC0415

    from dhpe.simulate import SimulationSettings, simulate  # noqa: PLC0415

    yield from simulate(SimulationSettings(), time.time_ns())  # from when it is first asked, not from the command


def main() -> None:
    """Entry point of the console script."""
    cli()


if __name__ == "__main__":
    sys.exit(main())  # type: ignore[func-returns-value]
