"""Proofs: a simulator of whole clusters on virtual time, scenarios told on it, and an explorer of small worlds.

Everything in here runs the code that ships, and nothing that ships imports it but the commands that start a proof.
"""
