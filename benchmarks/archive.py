"""What old payloads take in their table and in segment files, and how fast they move and are read there."""

import tempfile
import time
from pathlib import Path
from random import Random
from typing import Any, Final

from sqlalchemy import Engine, text

from benchmarks.watch import percentile_ms
from contracts.units import UnixSeconds
from services import database
from services.database import reading
from services.ledger import archiving, payloads
from services.ledger.archiving import SEGMENT_ENTRIES, OnProgress
from services.ledger.payloads import KEYS_EACH

READS: Final = 1_000


def measured(url: str, size: int, now_s: UnixSeconds, on_progress: OnProgress) -> dict[str, Any]:
    """Move what fills whole segments; bytes are of one payload, indexes and keys included."""
    each = min(SEGMENT_ENTRIES, size // KEYS_EACH * KEYS_EACH)
    if not each:
        return {}
    with tempfile.TemporaryDirectory(prefix="sparks-segments-") as folder:
        engine = database.engine(url, segments=Path(folder))
        try:
            table_bytes = _stored_bytes(engine, "payloads") / size
            began_s = time.perf_counter()
            moved = archiving.archive(
                engine, before_s=now_s + 1, now_s=now_s, entries_each=each, on_progress=on_progress
            )
            took_s = time.perf_counter() - began_s
            keys_bytes = _stored_bytes(engine, "segment_keys") + _stored_bytes(engine, "segments")
            return {
                "payload_bytes_in_table": round(table_bytes),
                "payload_bytes_in_segment": round((moved.bytes_out + keys_bytes) / moved.entries),
                "archive_per_s": round(moved.entries / took_s),
                "read_in_segment_p99_ms": _read_p99_ms(engine, moved.entries),
            }
        finally:
            engine.dispose()


def _stored_bytes(engine: Engine, table: str) -> int:
    """A table with its parts, its indexes and what lies outside its rows."""
    sizes = "SELECT sum(pg_total_relation_size(relid)) FROM pg_partition_tree(:name)"
    alone = "SELECT pg_total_relation_size(:name)"
    with engine.connect() as connection:
        found = connection.scalar(text(sizes), {"name": table}) or connection.scalar(text(alone), {"name": table})
        return int(found)


def _read_p99_ms(engine: Engine, count: int) -> float:
    waits_s = []
    for index in Random(count).choices(range(count), k=min(READS, count)):
        began_s = time.perf_counter()
        with reading(engine) as session:
            payloads.read(session, [index])
        waits_s.append(time.perf_counter() - began_s)
    return percentile_ms(sorted(waits_s), 99)
