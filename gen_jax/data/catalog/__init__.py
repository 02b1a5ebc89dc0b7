"""The data sets that the project knows: where they come from, how they are read, and what must be
in them.
"""
