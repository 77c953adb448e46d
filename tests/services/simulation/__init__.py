"""Tests of trying other contracts on history."""
