"""Reports for people who watch over the money."""
