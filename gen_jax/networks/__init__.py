"""Networks, one file per family. Each file names the paper of its networks."""
