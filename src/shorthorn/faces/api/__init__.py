"""The HTTP API: `/v1/…`, JSON, errors as problem details (RFC 9457), OpenAPI at `/openapi.json`.

Start reading at `routes`: one table names every call.
"""
