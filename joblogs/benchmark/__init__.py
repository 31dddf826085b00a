"""How fast Joblogs is, beside stock Procrastinate: `manage.py benchmark`."""
