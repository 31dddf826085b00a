-- What ordinary jobs leave: a row, or more when they ran again.
CREATE TABLE effects (
    job_id bigint NOT NULL,
    at timestamptz NOT NULL DEFAULT clock_timestamp()
);
CREATE INDEX effects_job_id_idx ON effects (job_id);
ALTER TABLE effects OWNER TO joblogs;
