"""Messages that are not on the ledger: parked until their turn or their time comes, or in quarantine with a reason.

Owns the tables of both, the receipts that were sent, and the counts of what became of every message. Decides nothing:
`services.ingestion` puts messages here and takes them out, `services.operations` shows them and asks for replays.
Every function works on the caller's connection, in the caller's transaction.
"""
