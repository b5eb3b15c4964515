"""GitLab: projects, users, commits and push events. Facts: docs/sources/gitlab.md and renku-commits.md.

Code that asks GitLab and reads its answers belongs here. The rules that make an event of a commit belong in events/.
"""
