"""Postgres and nothing else: connections, transactions, statements."""
