"""What Sparks promises, checked: mirrors the tree, with real brokers, real databases and golden vectors.

Never sleeps to wait, never needs a network beyond loopback, leaves no process and no file behind.
"""
