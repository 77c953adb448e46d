"""Tests of the receipts that people keep."""
