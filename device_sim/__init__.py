"""The edge: homes, their sun and batteries, and the units and tills that speak for them.

It talks to the platform only through `contracts/wire` and the network, as any stranger's device would, and refuses
to import `services`: nothing here may know how its messages are judged. Time and chance are arguments.
"""
