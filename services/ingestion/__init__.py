"""Takes the units' messages from the broker and decides what becomes of each (interfaces.md 1).

Owns the way from a topic to the ledger, parking, quarantine, receipts, commands and the counts of it all. Never
changes value: it asks the ledger, and acknowledges a message once its bytes are durable somewhere.
"""
