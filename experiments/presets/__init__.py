"""Machine budgets (quick, tiny) and ablations of the experiment files, by their names."""
