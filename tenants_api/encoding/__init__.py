"""Strict JSON and base64url, and sealing: how bytes are read and written."""
