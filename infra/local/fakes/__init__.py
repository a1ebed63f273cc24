"""What all fakes have in common: their servers, their faults, and how they read a request."""
