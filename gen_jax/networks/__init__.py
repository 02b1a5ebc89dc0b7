"""Networks, one file per family; each says whose they are."""
