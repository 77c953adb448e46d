"""The programs that run the platform, a package each, and the ground files they stand on.

Owns everything that touches a network, a database or a clock. Refuses to decide what anything is worth:
that is agreed in `contracts`. Programs reach each other only through the ledger's client.
"""
