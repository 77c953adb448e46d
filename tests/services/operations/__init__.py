"""Tests of the operators' calls, on a real ledger."""
