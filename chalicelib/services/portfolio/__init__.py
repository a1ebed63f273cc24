"""Moving in and out: everything that a company has, as one file."""
