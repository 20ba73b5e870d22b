"""The server's own API, under /api; see docs/reference/server_api.md."""
