"""Who is asking: bearer tokens, the organisations' OAuth clients, and the published keys.

Owns what a token says, how long it is good for, and which scopes a client has. Refuses to know a customer's password
(that is `services.customers`) and what anybody may do with which object: a program checks that itself.
"""

from services.identity.clients import Client, Clients
from services.identity.oauth import oauth_router, well_known_router
from services.identity.tokens import Caller, Issued, Scope, ShownToken, Tokens

__all__ = [
    "Caller",
    "Client",
    "Clients",
    "Issued",
    "Scope",
    "ShownToken",
    "Tokens",
    "oauth_router",
    "well_known_router",
]
