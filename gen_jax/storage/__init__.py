"""Files that are whole or absent, and the folders in which they are kept."""
