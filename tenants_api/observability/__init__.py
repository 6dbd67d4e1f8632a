"""What an operator sees from outside: logs and metrics. Knows nothing of tenants, tokens or HTTP."""
