"""Tests of services.ingestion."""
