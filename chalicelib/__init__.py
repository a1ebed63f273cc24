"""Mwanga: mobile-money payments become energy tokens."""
