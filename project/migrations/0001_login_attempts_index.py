from __future__ import annotations

from pathlib import Path

import sqlparse
from django.db import migrations

SQL = Path(__file__).parent / "sql"


class Migration(migrations.Migration):
    # The index is built CONCURRENTLY, which no transaction allows.
    atomic = False

    dependencies = [
        ("axes", "0010_accessattemptexpiration"),
    ]

    operations = [
        migrations.RunSQL(
            list(sqlparse.split((SQL / "login_attempts_index.sql").read_text())),
            (SQL / "login_attempts_index.reverse.sql").read_text(),
        ),
    ]
