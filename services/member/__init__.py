"""A member's own copy of the log: follows the operator over HTTP, executes again, co-signs what agrees.

Owns what the member has signed and where it disagreed. Never reads the operator's database, never signs what it has
not executed, and never signs two histories.
"""
