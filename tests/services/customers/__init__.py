"""Tests of the customers' calls, over HTTP, on a real ledger and both databases."""
