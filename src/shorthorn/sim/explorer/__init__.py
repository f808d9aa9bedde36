"""The explorer: every state of small worlds, with the real core and abstract agents, engines and replicas.

`worlds` names what is searched, `search` does it, `moves` holds the steps, `judge`, `monitor` and `goals` say what is wrong,
`story` tells the shortest way to it. Pure: it reads no clock but the one passed in, and knows no randomness.
"""
