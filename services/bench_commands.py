"""`sparks bench`: parses, calls, prints. Decides nothing."""

import json
from typing import Annotated, Any

import typer

from services.reporting import Json, reported

bench_app = typer.Typer(help="Measure this machine, load included.", no_args_is_help=True)


@bench_app.command("ingest")
@reported
def ingest(
    units: Annotated[int, typer.Option(min=1, help="Registered units with real keys.")] = 4_001,
    packs_each: Annotated[int, typer.Option(min=1, help="Packs that each unit sends.")] = 8,
    intervals: Annotated[int, typer.Option(min=1, max=200, help="Five-minute intervals in a pack.")] = 1,
    embedded: Annotated[bool, typer.Option("--embedded", help="One process, amqtt and SQLite.")] = False,
    as_json: Json = False,
) -> None:
    """Signed packs a second through broker, ingestion, ledger and database, beside the bare ceiling of this machine."""
    if embedded:
        from benchmarks.one_process import bench as bench_one_process

        figures = bench_one_process(units=min(units, 50), packs_each=packs_each * 12, intervals=intervals)
    else:
        from benchmarks.ingest import bench

        figures = bench(units=units, packs_each=packs_each, intervals=intervals)
    _show_figures(figures, as_json)


@bench_app.command("checkout")
@reported
def checkout(
    purchases: Annotated[int, typer.Option(min=1, help="One-message purchases to make.")] = 15_000,
    connections: Annotated[int, typer.Option(min=1, max=512, help="Tills that ask at the same time.")] = 32,
    as_json: Json = False,
) -> None:
    """Purchases a second over HTTP: token, idempotency key, contract, ledger entry, durable commit."""
    from benchmarks.checkout import bench

    _show_figures(bench(purchases=purchases, connections=connections), as_json)


@bench_app.command("ledger")
@reported
def ledger(
    units: Annotated[int, typer.Option(min=1, help="Registered units with real keys.")] = 2_001,
    packs_each: Annotated[int, typer.Option(min=1, help="Packs of each unit.")] = 16,
    history: Annotated[
        list[int], typer.Option(min=1, help="Measure with so many entries written before; again and again, growing.")
    ] = [],  # noqa: B006 (typer copies it)
    memory: Annotated[
        int | None, typer.Option(min=1, help="Show the memory of the writer while so many are appended.")
    ] = None,
    as_json: Json = False,
) -> None:
    """The writer alone: entries appended a second, executed again a second, and how long a proof and a balance take."""
    from benchmarks.ledger import bench, bench_history, bench_memory
    from services.stage import bars

    with bars() as show:
        figures: dict[str, Any]
        if memory is not None:
            figures = bench_memory(memory, units=units, on_progress=show)
        elif history:
            figures = bench_history(sorted(history), units=units, packs_each=packs_each, on_progress=show)
        else:
            figures = bench(units=units, packs_each=packs_each, on_progress=show)
    _show_figures(figures, as_json)


def _show_figures(figures: dict[str, Any], as_json: bool) -> None:
    for name, figure in figures.items():
        typer.echo(f"{name:>16}  {figure}", err=as_json)
    if as_json:
        typer.echo(json.dumps(figures))
