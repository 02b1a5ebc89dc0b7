"""Reports on run directories as one HTML page."""
