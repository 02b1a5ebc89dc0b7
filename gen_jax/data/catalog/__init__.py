"""The data sets of the project: their sources, readers and contents."""
