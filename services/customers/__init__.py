"""What customers do: enrol, sign in, claim units, watch sparks and energy, get codes to pay with.

Owns the personal data of customers, here and nowhere else; the ledger knows a customer by a pseudonym. Refuses to
decide anything of value (that is the ledger's) and to show a customer what is another's.
"""
