"""Tests of the ledger: the log that strangers check, the store, the writer."""
