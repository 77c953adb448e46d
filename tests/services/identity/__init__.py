"""Tests of tokens and clients."""
