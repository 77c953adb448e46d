"""Is just that erased which entries on the ledger name, and are the others about whom they are said to be?"""

from collections.abc import Iterable
from typing import Any

from contracts import state
from contracts.commands import EraseCustomer
from services.ledger.entry_audit import Executed
from services.ledger.findings import Findings
from services.ledger.subjects import subjects_by_keys, subjects_of


class ErasureAudit:
    """Sees every entry in its order, then the rows of `erasures`.

    erased  how many entries are
    """

    def __init__(self, findings: Findings) -> None:
        self.erased = 0
        self._findings = findings
        self._unnamed: dict[int, tuple[set[str], set[str]]] = {}
        """Erased and not named yet: whom the entry is about by its keys, and by the table."""
        self._named: set[int] = set()
        self._whole: list[tuple[int, int]] = []
        self._asking: set[int] = set()

    def see(self, index: int, kind: str, done: Executed, subjects: set[str]) -> None:
        """Take note of an entry; compare whom the table says that it is about."""
        if done.request is None:
            self.erased += 1
            self._unnamed[index] = subjects_by_keys(kind, done.writes), subjects
            return
        command: Any = done.request.command
        if subjects != subjects_of(command, done.writes, has_postings=bool(done.postings)):
            self._findings.add(index, "subjects", "the entry is about others than the table says")
        if command.KIND == EraseCustomer.KIND:
            self._asking.add(index)
            for erased in command.erased:
                self._name(index, erased, state.customer_key(command.customer_id))

    def finish(self, rows: Iterable[Any]) -> None:
        """Compare the table `erasures` (rows with entry_index and erased_s), once all entries were seen."""
        done = {row.entry_index: row.erased_s for row in rows}
        for index in sorted(done.keys() ^ self._asking):
            self._findings.add(index, "erasures", "it asks for an erasure, or the table says so, and not both")
        for asking, index in self._whole:
            if done.get(asking) is not None:
                self._findings.add(index, "payloads", f"entry {asking} erases it, and it is still there")
        for index in self._unnamed:
            self._findings.add(index, "payloads", "its request is gone, and no entry erases it")

    def _name(self, asking: int, index: int, customer: str) -> None:
        by_keys, by_table = self._unnamed.pop(index, (None, None))
        if by_keys is not None and by_table is not None:
            self._named.add(index)
            if by_table != by_keys - {customer}:
                self._findings.add(index, "subjects", "the erased entry is about others than the table says")
        elif index not in self._named:
            self._whole.append((asking, index))
