"""Measured homes, read from files to be replayed.

Owns how the two kinds of files become intervals, exactly: `flows` (one CSV, six energies a row), `households` (a
folder, load and sun a row), and `timeline`, the order in which their rows are sent. `reading.read` opens either kind.

Strict on a row, tolerant of the file: what cannot be read is an `Unreadable` with file and line, and stops nothing.
Refuses to judge what can be read: negative, repeated and overlapping rows are passed on as they were measured.
"""
