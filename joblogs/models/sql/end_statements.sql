-- End each statement of this transaction that takes longer than so many milliseconds.
SELECT set_config('statement_timeout', %(milliseconds)s, true);
