"""Keycloak: users and logins of a realm. Facts: docs/sources/keycloak.md.

Here belongs what is asked of Keycloak and what is kept of its answers. Who is who on a deployment does not: events/links.
"""
