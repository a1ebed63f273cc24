"""The rules of money and energy. Pure Python: no I/O, no AWS, no framework, no clock."""
