"""The rows of value: what accounts hold, what waits for funds, and what was told of both day by day."""

from dataclasses import dataclass

from contracts.units import MicroCad, MicroSparks, UnixSeconds


@dataclass(frozen=True, slots=True)
class Account:
    """The balance of one account in the asset its key names; the postings on it add up to it."""

    balance: int = 0


@dataclass(frozen=True, slots=True)
class Queue:
    """The awards that wait for funds: numbers head to tail - 1. What retailers owe, for the funding test."""

    head: int = 0
    tail: int = 0
    retailers_owe_micro_sparks: MicroSparks = 0


@dataclass(frozen=True, slots=True)
class DeferredAward:
    """One award in the queue, and the entry that earned it."""

    customer_id: str
    micro_sparks: MicroSparks
    index: int


@dataclass(frozen=True, slots=True)
class Statement:
    """What the books held when they were closed for a day; and, once it is published, the root of who is owed it.

    closed_at, closed_s  the entry that closed them, with which the figures hold, and its time
    outstanding_micro_sparks  with customers (free and held) and retailers, of whom one that owes counts as 0
    root, depth, published_at  of the tree over it and the deferred, and the entry that says so; empty and 0 before
    """

    closed_at: int
    closed_s: UnixSeconds
    reserve_micro_cad: MicroCad
    paid_out_micro_cad: MicroCad
    issued_micro_sparks: MicroSparks
    outstanding_micro_sparks: MicroSparks
    owed_by_retailers_micro_sparks: MicroSparks
    settled_micro_sparks: MicroSparks
    fees_micro_sparks: MicroSparks
    deferred_micro_sparks: MicroSparks
    root: bytes = b""
    depth: int = 0
    published_at: int = 0
