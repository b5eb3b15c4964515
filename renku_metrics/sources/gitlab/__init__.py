"""GitLab: projects, users, commits and push events. Facts: docs/sources/gitlab.md and renku-commits.md.

Here belongs what is asked of GitLab and what is kept of its answers. What makes a commit an event does not: events/.
"""
