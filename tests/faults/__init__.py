"""Faults made for real, and what must hold then."""
