"""A customer's energy as a series, within their holdings and within bounds that one call can answer."""

from collections.abc import Callable
from typing import Annotated, Any, Final, TypeAlias

from fastapi import APIRouter, Depends, Query

from contracts import state
from contracts.programmes import Programme
from contracts.state import Holdings
from contracts.units import DAY_S, UnixSeconds
from contracts.wire.packs import FLOWS
from services import calls
from services.clock import Clock
from services.customers import energy
from services.customers.energy import RANGE_S_MAX, Resolution, Step
from services.customers.shapes import Energy
from services.identity import Caller, Tokens
from services.ledger.client import Ledger
from services.moments import Moment, rfc3339
from services.problems import Problem

LATEST_S: Final = 4_102_444_800  # 2100-01-01, past every offset that a programme lists


def consumption_router(
    *, ledger: Ledger, clock: Clock, tokens: Tokens, programme: Callable[[], Programme]
) -> APIRouter:
    """Return the router of `/v1/me/energy`."""
    router = APIRouter(prefix="/v1/me/energy", tags=["customers"])
    _Customer: TypeAlias = Annotated[Caller, Depends(tokens.customer)]

    @router.get(
        "", summary="What my units measured", response_model=Energy, responses=calls.signed_in("customer_closed")
    )
    def series(
        caller: _Customer,
        since: Annotated[Moment | None, Query(alias="from", description="default: a day before `to`")] = None,
        until: Annotated[Moment | None, Query(alias="to", description="default: now")] = None,
        resolution: Annotated[Resolution, Query(description="days and months are local ones")] = Resolution.HOUR,
    ) -> dict[str, Any]:
        """Intervals that begin in [from, to), in wh, all units together, oldest first.

        At most 31 days by `interval`, 92 by `hour`, 366 by `day` or `month`. Steps without a measurement are left out;
        nothing is from before a claim or after moving out.
        """
        to_s = clock.now_s() if until is None else until
        from_s = to_s - DAY_S if since is None else since
        _check_range(from_s, to_s, resolution)
        (holdings,) = ledger.rows([state.holdings_key(caller.subject)])
        units = holdings if isinstance(holdings, Holdings) else Holdings()
        intervals = energy.measured(ledger, units, from_s=from_s, to_s=to_s)
        return {
            "resolution": resolution,
            "from": rfc3339(from_s),
            "to": rfc3339(to_s),
            "items": [_shown(step) for step in energy.series(intervals, resolution, programme())],
        }

    return router


def _check_range(from_s: UnixSeconds, to_s: UnixSeconds, resolution: Resolution) -> None:
    if not 0 <= from_s < to_s <= LATEST_S:
        raise _bad_range("`from` comes before `to`, and both lie between 1970 and 2100.")
    if to_s - from_s > RANGE_S_MAX[resolution]:
        days = RANGE_S_MAX[resolution] // DAY_S
        raise _bad_range(f"By {resolution} at most {days} days are answered at once; ask for them in parts.")


def _bad_range(message: str) -> Problem:
    return Problem("validation_failed", message, extras={"fields": [{"field": "query.to", "message": message}]})


def _shown(step: Step) -> dict[str, Any]:
    """The members of `shapes.EnergyStep`."""
    sums_wh = dict(zip(FLOWS, step.sums_wh, strict=True))
    return {"start_at": rfc3339(step.start_s), "end_at": rfc3339(step.end_s), **sums_wh}
