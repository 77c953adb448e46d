"""Receipts that people keep: one ledger entry with all that is needed to check it without this platform.

Owns the document, how it is made and how it is verified offline. Knows no database, network or clock.
"""
