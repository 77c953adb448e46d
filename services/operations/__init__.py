"""The program of those who run the fleet and the programme: units, quarantine, retailers, reserve, events, signals.

Owns their HTTP calls and who may make them, and what members are to decide until enough of them have approved it.
Decides nothing about value: each change is a ledger command. Never speaks to a unit: what a unit shall be told goes
out through a port.
"""

from services.operations.office import Instruct, Office
from services.operations.routes import operations_router

__all__ = ["Instruct", "Office", "operations_router"]
