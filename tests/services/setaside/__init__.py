"""Tests of the parking place and the quarantine."""
