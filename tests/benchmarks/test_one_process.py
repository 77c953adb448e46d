"""`sparks bench ingest --embedded` says all that interfaces.md 5 promises, however small the load."""

from pathlib import Path

from tests.story.commands import json_of, sparks


def test_the_embedded_benchmark_prints_every_figure_with_its_ceiling_and_its_waits(tmp_path: Path) -> None:
    words = ("bench", "ingest", "--embedded", "--units", 2, "--packs-each", 1, "--json")

    figures = json_of(sparks(tmp_path / "data", *words))

    assert figures.keys() == {
        *("packs_per_s", "ceiling_per_s", "p50_ms", "p95_ms", "p99_ms", "cpu_s", "bytes_per_pack", "rss_mb")
    }
    assert 0 < figures["p50_ms"] <= figures["p95_ms"] <= figures["p99_ms"]
    assert figures["packs_per_s"] > 0 and figures["ceiling_per_s"] > 0 and figures["bytes_per_pack"] > 0
    assert figures["cpu_s"].keys() == figures["rss_mb"].keys() == {"all"}
