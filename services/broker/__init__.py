"""The way in for units: who may log in to the broker, what each may say and hear, and an embedded broker.

Owns the broker's accounts (a table for the embedded broker, Mosquitto's dynamic security in a deployment),
the access rule of the topics, and the embedded broker itself. Refuses to know what a message means: it
imports no program and no contract, and reads no payload.
"""
