"""Tests of the daily statement: its tree, its publication on a real ledger, and what is checked of it offline."""
