"""The stand, and its servers."""
