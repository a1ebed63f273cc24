"""What an installation costs, and what bounds it."""
