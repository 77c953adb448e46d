"""Bytes that strangers make and read: signed packs, receipts, instructions and key changes.

Owns their exact encoding, both ways, and the verdict on bytes that are none of them. Refuses to know the
state of a unit or of the ledger: whether a well-formed pack counts is decided elsewhere.
"""
