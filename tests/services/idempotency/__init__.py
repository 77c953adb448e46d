"""Tests of asking twice."""
