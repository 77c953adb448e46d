"""Contract sets as values: this program's own, and any other, loaded in isolation from the files the ledger carries.

Owns the loading and what the ledger may use of a set. Decides neither which set is active (that is in the ledger's
state) nor whether it should be: nothing here may be called with files that no governed entry has approved, but to try
them out on one's own machine.
"""

from services.contract_sets.carried import CarriedSets
from services.contract_sets.loading import UnusableBundle
from services.contract_sets.sets import (
    ContractSet,
    NotInThisSet,
    load,
    opening,
    own,
    own_files,
    parameters_of,
    version_of,
    with_parameters,
)

__all__ = [
    "CarriedSets",
    "ContractSet",
    "NotInThisSet",
    "UnusableBundle",
    "load",
    "opening",
    "own",
    "own_files",
    "parameters_of",
    "version_of",
    "with_parameters",
]
