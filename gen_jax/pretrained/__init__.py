"""Networks that others have trained, as functions of their weights."""
