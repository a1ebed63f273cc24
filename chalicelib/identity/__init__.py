"""Who staff are: the user pool."""
