"""`sparks bench ledger`: what the writer, a second execution, a proof and a balance cost, however small the load."""

from pathlib import Path

from tests.story.commands import json_of, sparks


def test_the_ledger_benchmark_prints_every_figure(tmp_path: Path) -> None:
    figures = json_of(sparks(tmp_path / "data", "bench", "ledger", "--units", 2, "--packs-each", 2, "--json"))

    assert figures["entries"] == 1 + 1 + 3 * 2 + 2 * 2
    assert figures["append_per_s"] > 0 and figures["reexecute_per_s"] > 0
    assert 0 < figures["prove_p50_ms"] <= figures["prove_p99_ms"]
    assert 0 < figures["balance_p50_ms"] <= figures["balance_p99_ms"]
