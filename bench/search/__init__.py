"""Searches a grid of configurations, one run at a time: which run next, and when it is enough."""
