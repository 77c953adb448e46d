"""Tests of the programs, in the tree of `services`."""
