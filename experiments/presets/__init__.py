"""Small budgets (quick, tiny) and ablations of the experiment files, by name."""
