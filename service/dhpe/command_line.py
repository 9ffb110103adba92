"""What the commands share: their options, how they read the settings, and how they tell a failure."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Final

import typer

from dhpe.settings import SettingsError

if TYPE_CHECKING:
    from dhpe.edge.formats import Plan

WRONG_CALL: Final = 2
FAILURE: Final = 1

Config = Annotated[Path | None, typer.Option("--config", help="TOML file of settings; the environment beats it.")]
HttpHost = Annotated[str | None, typer.Option(help="Address of the API and the page.")]
HttpPort = Annotated[int | None, typer.Option(help="Port of the API and the page; 0 takes a free one.")]
Format = Annotated[str | None, typer.Option("--format", help="jsonl, lean, cboe, dbn, binance or deribit.")]
Json = Annotated[bool, typer.Option("--json", help="For programs.")]


@contextmanager
def one_line() -> Iterator[None]:
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


def plan_of(inputs: list[str], file_format: str | None) -> "Plan":
    """What the call names; a file that is not there or a format that is not known makes it a wrong call."""
    from dhpe.edge import formats  # noqa: PLC0415

    try:
        return formats.plan(inputs, format_name=file_format)
    except formats.InputError as error:
        typer.echo(f"dhpe: {error}", err=True)
        raise typer.Exit(WRONG_CALL) from error
