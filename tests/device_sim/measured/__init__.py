"""Tests of measured homes, read to be replayed."""
