"""Readers of the files that weights come in; none runs code from a file."""
