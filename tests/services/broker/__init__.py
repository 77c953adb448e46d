"""The brokers as units and the platform meet them: real servers, real clients."""
