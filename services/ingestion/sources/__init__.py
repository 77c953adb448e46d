"""Where messages come from: one module for each kind of transport, all behind `source.Source`.

Owns connections, flow control and acknowledgements. Never looks into a message.
"""
