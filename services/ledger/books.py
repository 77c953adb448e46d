"""The books as the postings alone make them: what every account holds, and the promises that must hold after any entry.

Knows no contract: whoever re-executes compares what the contracts say of an account with what is here.
"""

from collections import defaultdict
from collections.abc import Iterator, Sequence

from contracts import accounts
from contracts.effects import Asset, Posting
from contracts.units import MICRO_SPARKS_PER_MICRO_CAD

_NEVER_NEGATIVE = frozenset({"customer", "held"})


class Books:
    """Balances by (asset, account), in the asset's unit."""

    def __init__(self) -> None:
        self.balances: defaultdict[tuple[str, str], int] = defaultdict(int)

    def post(self, postings: Sequence[Posting]) -> Iterator[str]:
        """Post one entry's legs; yield each promise that they break."""
        sums: defaultdict[str, int] = defaultdict(int)
        for asset, account, amount in postings:
            sums[asset] += amount
            self.balances[asset, account] += amount
        for asset, total in sums.items():
            if total:
                yield f"the legs in {asset} sum to {total}"
        for asset, account in {(asset, account) for asset, account, _ in postings}:
            balance = self.balances[asset, account]
            if balance < 0 and account.partition("/")[0] in _NEVER_NEGATIVE:
                yield f"{account} holds {balance} in {asset}"
        if sums and not self._is_funded():
            yield "more sparks are outstanding than the reserve funds"

    def _is_funded(self) -> bool:
        """programme.md, Fully funded: the invariant that is verified, where a retailer that owes counts as negative."""
        issued = -self.balances[Asset.SPARK, accounts.MINTED]
        gone = self.balances[Asset.SPARK, accounts.SETTLED] + self.balances[Asset.SPARK, accounts.FEES]
        reserve_micro_cad = self.balances[Asset.CAD, accounts.RESERVE]
        return issued - gone <= reserve_micro_cad * MICRO_SPARKS_PER_MICRO_CAD
