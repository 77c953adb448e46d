"""Tests of the schema's versions."""
