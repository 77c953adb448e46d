"""One file for each version of the schema; each says in one sentence why it is."""
