"""Values that other packages hand to one another."""
