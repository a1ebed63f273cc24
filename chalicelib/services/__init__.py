"""One module per thing that the system does. Knows the rules and the ports, but no AWS."""
