"""What the trained model of each paper can do."""
