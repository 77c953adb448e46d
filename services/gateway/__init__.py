"""What tills do: authorise a purchase, capture, void and refund it.

Owns how the retailers' API says what the ledger decided. Keeps nothing of its own, and refuses to show a retailer what
is another's.
"""
