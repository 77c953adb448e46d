"""Tests of the tills' calls, over HTTP, on a real ledger and both databases."""
