"""Everything around the code: resources, the package, and the local cloud."""
