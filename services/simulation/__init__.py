"""Try before you publish: the ledger's own history under other contracts, and what would have become of whom.

Reads a ledger and writes nothing. Decides nothing either: its result is a figure that members look at, and its hash is
part of what they approve.
"""

from services.simulation.history import simulate
from services.simulation.result import DIGEST, Simulation, digest_of
from services.simulation.span import NothingToSimulate, Span

__all__ = ["DIGEST", "NothingToSimulate", "Simulation", "Span", "digest_of", "simulate"]
