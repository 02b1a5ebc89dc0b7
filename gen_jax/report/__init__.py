"""From run directories to one page."""
