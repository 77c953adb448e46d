"""What was agreed: the meaning of every byte and every rule, as pure functions on integers.

Owns the wire formats, the commands and what they do to the ledger. The same bytes in give the same bytes
out on every member's machine, so it refuses I/O, clocks, chance and arithmetic on floats, and imports
nothing else of the platform.
"""
