"""The parameters of a programme against the libraries that they were generated from."""
