"""The worker engine, built on Procrastinate's own seams (subclass or hook, never a patch)."""
