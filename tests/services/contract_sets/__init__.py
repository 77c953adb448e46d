"""Tests of contract sets: two versions side by side."""
