"""A trained model as a web page on this machine."""
