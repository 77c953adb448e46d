"""All calls of this program."""

from fastapi import APIRouter

from services.operations.fleet import fleet_router
from services.operations.governance import governance_router
from services.operations.moderation import quarantine_router
from services.operations.office import Office
from services.operations.programme import programme_router


def operations_router(office: Office) -> APIRouter:
    """Return the router of the scopes `fleet` and `programme`, and of what members decide."""
    router = APIRouter()
    router.include_router(fleet_router(office))
    router.include_router(quarantine_router(office))
    router.include_router(programme_router(office))
    router.include_router(governance_router(office))
    return router
