-- A few rows, each written anew every few seconds: half of a page stays free for that, so that the new
-- version of a row lands beside the old one and the index is left alone.
ALTER TABLE job_workers SET (fillfactor = 50);
