"""What every layer may use: the clock, the log, metrics, secrets, the environment and AWS clients.

Imports nothing of ours.
"""
