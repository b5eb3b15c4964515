"""Keycloak: users and logins of a realm. Facts: docs/sources/keycloak.md.

Code that asks Keycloak and reads its answers belongs here. The rules that tell who is who belong in events/links.
"""
