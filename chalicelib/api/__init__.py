"""The HTTP edge: routes, what they take and what they answer. The only part that knows Chalice."""
