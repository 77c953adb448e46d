"""How fast this machine runs the platform: real brokers, real databases, durable commits, load included.

Owns the load, the ceilings it is compared with, and the processes that are measured. Decides nothing: no test fails
because a machine is slow.
"""
