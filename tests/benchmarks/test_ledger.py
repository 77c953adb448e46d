"""`sparks bench ledger`: what the writer, a second execution, a proof and a balance cost, however small the load."""

from pathlib import Path

from tests.story.commands import json_of, sparks


def test_the_ledger_benchmark_prints_every_figure(tmp_path: Path) -> None:
    figures = json_of(sparks(tmp_path / "data", "bench", "ledger", "--units", 2, "--packs-each", 30, "--json"))

    assert figures["entries"] == 1 + 1 + 3 * 2 + 30 * 2
    assert min(figures[name] for name in ("append_per_s", "reexecute_per_s", "copy_per_s")) > 0
    assert 0 < figures["prove_p50_ms"] <= figures["prove_p99_ms"]
    assert 0 < figures["balance_p50_ms"] <= figures["balance_p99_ms"]
    assert figures["payload_bytes_in_table"] > 0 and figures["payload_bytes_in_segment"] > 0
    assert figures["archive_per_s"] > 0 and figures["read_in_segment_p99_ms"] > 0


def test_a_written_history_grows_the_ledger_and_is_measured_at_each_size(tmp_path: Path) -> None:
    asked = ("--units", 2, "--packs-each", 2, "--history", 300, "--history", 700)
    figures = json_of(sparks(tmp_path / "data", "bench", "ledger", *asked, "--json"))

    assert list(figures) == ["300", "700"]
    assert figures["300"]["entries"] == 1 + 1 + 3 * 2 + 300 + 2 * 2
    assert figures["700"]["entries"] >= 700 + 2 * 2
    for measured in figures.values():
        assert measured["append_per_s"] > 0 and measured["restart_ms"] > 0
        assert measured["prove_p99_ms"] > 0 and measured["balance_p99_ms"] > 0
        assert measured["prove_pages"] > 0 and measured["balance_pages"] > 0
        assert measured["rss_mb"] > 0 and measured["database_mb"] > 0


def test_memory_is_shown_while_entries_are_appended(tmp_path: Path) -> None:
    figures = json_of(sparks(tmp_path / "data", "bench", "ledger", "--units", 2, "--memory", 40, "--json"))

    assert len(figures["rss_mb_at"]) == 10
    assert int(max(figures["rss_mb_at"], key=int)) >= 40
