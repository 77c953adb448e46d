"""A watt-hour's journey, all real: units, broker, services, database, tills."""
