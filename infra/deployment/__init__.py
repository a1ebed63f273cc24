"""Deploying to AWS: what :mod:`infra.deploy` is made of."""
