"""A simulated RenkuLab: GitLab and Keycloak over HTTP on loopback, and Amalthea's audit log in a directory.

Begin with ``server.RenkuLab``. ``population.Population`` fills it with people and knows the true numbers,
``histories.serve_histories`` fills it with real commits, ``faults`` breaks answers. It follows the facts in
docs/sources/.
"""
