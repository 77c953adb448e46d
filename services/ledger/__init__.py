"""The only writer of value, and the log that proves what was written.

Owns the journal of entries, the state they leave behind, and the Merkle tree over them with its checkpoints
and proofs. Refuses to decide what a command does (that is `contracts.execute`), to judge device messages
and to know the name of a person.
"""
