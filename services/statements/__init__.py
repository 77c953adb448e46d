"""The daily statement: what the programme owes and what funds it, and the proof to each that theirs is counted.

Owns the tree over what is owed (its leaves, salts and places), when a statement is published, and the documents that
people check offline. The figures are the contracts' (`contracts.statements`); nothing here can make them others.
"""
