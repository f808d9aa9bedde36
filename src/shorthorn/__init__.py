"""Shorthorn: replicated block storage that is never wrong about a volume's state.

Where to start reading: ARCHITECTURE.md, then `shorthorn.core.model`.
"""
